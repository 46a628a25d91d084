//! Any MPI library, loaded at run time.
