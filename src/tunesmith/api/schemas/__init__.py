"""What the API takes and gives, as Pydantic models; the client and the web page use them too."""
