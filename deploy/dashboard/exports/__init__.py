"""What leaves the dashboard: tables, a report, FHIR, a labelled data set."""
