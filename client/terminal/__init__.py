"""What commands print, the service's too: consoles, tables that fit, a quiet end unread."""
