"""What ``leuko-deploy`` offers: a module for each group of commands, thin over the rooms."""
