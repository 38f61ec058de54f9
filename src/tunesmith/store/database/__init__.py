"""The database under the store: connections, tables, column types, migrations and backups."""
