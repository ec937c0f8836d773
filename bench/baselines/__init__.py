"""What the services are measured against: the work written the plain way; each file says exactly what it does."""
