// Makes the compiler accept functions whose bodies are elsewhere.
