"""What both HTTP servers are made of: the server, bodies, JSON, pages of elsewhere."""
