"""Parts of the enrolment benchmark."""
