"""What Capstan costs a packet beside its peers, measured in one run: see README.md."""
