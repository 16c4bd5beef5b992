"""What stands between a network and the ocean: guards, windows, conservation, shadows."""
