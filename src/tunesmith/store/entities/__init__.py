"""What is kept, as plain values: experiments, adapters, sweeps, accounts, measurements."""
