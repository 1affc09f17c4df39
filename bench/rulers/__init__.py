"""What a computation costs, measured: clocks, multiply-adds, peak memory."""
