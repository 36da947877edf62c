"""Tests of what is on the boards besides the NIC."""
