"""What is fetched from hosts that are no Git hosts: charts, OCI artifacts, single files."""
