"""What keeps a service going for years: backups and their drill, migrations, changed settings."""
