//! What the types forbid: each file of `compile_fail/` is a misuse that must not compile.

#[test]
fn misuse_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
