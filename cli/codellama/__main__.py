"""`python -m codellama`."""

from codellama.app import main

if __name__ == "__main__":
    main()
