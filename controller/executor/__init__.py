"""Who runs attempts: `local` (bubblewrap) or `kubernetes`. Neither knows the agent or the lab."""
