"""What a comparison found, as one page of HTML."""
