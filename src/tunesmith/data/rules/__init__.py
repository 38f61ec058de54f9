"""The rules that rows are held against, by what they are about; found by being here."""
