"""Capstan: the supervisor and command line of a lossless packet-capture appliance."""

__version__ = "0.1.0"
