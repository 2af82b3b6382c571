//! Laboratory of network namespaces, and the tests that need a kernel.
