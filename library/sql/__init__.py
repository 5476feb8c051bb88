"""The library's database: connections, tables, migrations, faults and damage."""
