//! Sparse matrices before they are distributed.
//!
//! A file in Matrix Market form becomes a list of entries ([`market`]), the list becomes compressed rows ([`csr`]),
//! or the rows are made by rule ([`poisson`]; [`grid`] is their pattern alone). An ordering ([`ordering`]) and a split ([`split`]) then say which rank
//! owns which rows.
//!
//! Rows and columns are numbered from 0 as `u32` everywhere; only files and messages to people count from 1.

pub(crate) mod csr;
pub(crate) mod grid;
pub(crate) mod market;
pub(crate) mod ordering;
pub(crate) mod poisson;
pub(crate) mod split;
