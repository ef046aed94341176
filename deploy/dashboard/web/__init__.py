"""The web application of the central dashboard: pages made on the server, and little script."""
