"""What leaves the workbench: the enrolment bundle and its verification."""
