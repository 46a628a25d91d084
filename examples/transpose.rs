//! The transpose of a matrix whose rows are spread over the ranks: redistribute to columns, then turn each rank's part.
//!
//! ```console
//! $ cargo run --release -p parhelion --example transpose
//! ```

use parhelion::prelude::*;

fn main() -> parhelion::Result<()> {
    parhelion::run(|world| {
        let (rows, columns, ranks) = (1200, 900, world.size());
        let by_rows = Decomposition::new([rows, columns], &world)?.grid([ranks, 1]);
        let by_columns = Decomposition::new([rows, columns], &world)?.grid([1, ranks]);
        let a = DistArray::from_fn(&by_rows, |[i, j]| (10_000 * i + j) as f64)?;

        // Every rank sends every other one block; a rank's columns of A are then its rows of the transpose.
        let turned = a.redistribute(&by_columns)?;
        let transposed = Decomposition::new([columns, rows], &world)?.grid([ranks, 1]);
        let b = DistArray::from_local(&transposed, turned.local().t())?;

        b.for_each(|[i, j], value| assert_eq!(value, (10_000 * j + i) as f64));
        let (a, b) = (a.norm()?, b.norm()?);
        assert!((a - b).abs() <= 1e-12 * a);
        if world.rank() == 0 {
            println!("{rows} x {columns} on {ranks} ranks: |A| = {a:.6e}, |transpose of A| = {b:.6e}");
        }
        Ok(())
    })
}
