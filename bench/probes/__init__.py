"""What can be measured of a subject: one public module per probe, with `VERSION` and `measure`."""
