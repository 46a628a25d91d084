//! The halo exchange of cubic blocks on a periodic process grid, one block for each rank: the peer `halo3d`.

use parhelion::array::{Decomposition, DistArray, IndexSpace};
use parhelion::halo::exchange;

use super::{Bench, Case, timing};
use crate::args::BenchArgs;
use crate::error::{Error, Result};

/// What is measured, with the peer's defaults.
struct Shape {
    size: usize,
    width: usize,
    fields: usize,
    directions: usize,
    grid: [usize; 3],
}

impl Shape {
    fn new(args: &BenchArgs, ranks: usize) -> Result<Self> {
        let (size, args) = (args.size, &args.halo);
        let grid = args.grid.unwrap_or([ranks, 1, 1]);
        if grid.iter().product::<usize>() != ranks {
            let [a, b, c] = grid;
            return Err(Error::Input(format!("--grid {a}x{b}x{c} is not a grid of {ranks} ranks")));
        }
        Ok(Self {
            size: size.unwrap_or(32),
            width: args.width.unwrap_or(1),
            fields: args.fields.unwrap_or(1),
            directions: args.directions.unwrap_or(6),
            grid,
        })
    }

    fn has_corners(&self) -> bool {
        self.directions == 26
    }

    /// What the cell `index` of field `field` holds; beyond the global space, its periodic image.
    fn value(&self, field: usize, index: [i64; 3]) -> f64 {
        let all: [i64; 3] = std::array::from_fn(|axis| (self.size * self.grid[axis]) as i64);
        let place: [i64; 3] = std::array::from_fn(|axis| index[axis].rem_euclid(all[axis]));
        (((field as i64 * all[0] + place[0]) * all[1] + place[1]) * all[2] + place[2]) as f64
    }

    fn fields(&self, grid: &Decomposition<3>) -> Result<Vec<DistArray<f64, 3>>> {
        let zeros = |_| -> Result<DistArray<f64, 3>> { Ok(DistArray::zeros(grid)?) };
        (0..self.fields).map(zeros).collect()
    }

    /// Whether an exchange of the fields, with nothing in their halos before, gives what it should.
    fn exchanges(&self, fields: &mut Vec<DistArray<f64, 3>>) -> Result<bool> {
        for (field, array) in fields.iter_mut().enumerate() {
            array.local_with_halo_mut().fill(-1.0);
            array.for_each_mut(|index, cell| *cell = self.value(field, index));
        }
        exchange(fields)?;
        Ok(self.is_right(fields))
    }

    /// Whether every cell, own and halo, holds what it should; edges and corners only where they are exchanged.
    fn is_right(&self, fields: &[DistArray<f64, 3>]) -> bool {
        fields.iter().enumerate().all(|(field, array)| {
            let (view, owned) = (array.with_halo(), array.owned().space());
            view.space().iter().all(|index| {
                let outside = (0..3).filter(|&a| index[a] < owned.start()[a] || index[a] >= owned.end()[a]).count();
                let expected = if outside <= 1 || self.has_corners() { self.value(field, index) } else { -1.0 };
                view[index] == expected
            })
        })
    }

    fn case(&self) -> String {
        let Self { size, width, fields, directions, grid: [a, b, c] } = self;
        format!("n{size}_h{width}_f{fields}_d{directions}_g{a}x{b}x{c}")
    }

    /// The cells that are sent in some direction, as they are dirtied between timed calls.
    fn boundary(&self, owned: IndexSpace<3>) -> Vec<IndexSpace<3>> {
        owned.subtract(&owned.shrink(self.width))
    }
}

/// Measures every scheme, hot and touched.
pub(super) fn run(bench: &mut Bench<'_>, args: &BenchArgs) -> Result<()> {
    let world = bench.world;
    let shape = Shape::new(args, world.size())?;
    let whole = std::array::from_fn(|axis| shape.size * shape.grid[axis]);
    for scheme in super::schemes(args) {
        let grid = Decomposition::new(whole, world)?
            .grid(shape.grid)
            .halo(shape.width)
            .periodic([true; 3])
            .edges_and_corners(shape.has_corners());
        grid.set_scheme(scheme);
        let mut fields = shape.fields(&grid)?;
        let ok = shape.exchanges(&mut fields)?;
        let sample = timing::hot(world, bench.settings, || exchange(&mut fields))?;
        let ok = ok && shape.is_right(&fields);
        let ok = shape.exchanges(&mut fields)? && ok;

        let plan = grid.plan()?;
        let remote = shape.fields * plan.bytes(size_of::<f64>());
        let bytes = remote + shape.fields * plan.bytes_local(size_of::<f64>());
        let [a, b, c] = shape.grid;
        let mut extra = format!(
            ",\"n\":{},\"h\":{},\"nf\":{},\"dirs\":{},\"grid\":\"{a}x{b}x{c}\",\"remote_bytes\":{remote}",
            shape.size, shape.width, shape.fields, shape.directions
        );
        if let Some(decision) = grid.decisions().first() {
            extra += &format!(",\"chosen\":\"{}\"", decision.chosen());
        }
        let variant = scheme.to_string();
        let case = |mode| Case {
            bench: "halo3d",
            case: shape.case(),
            variant: &variant,
            mode,
            bytes,
            bandwidth: false,
            extra: &extra,
        };
        bench.emit(&case("hot"), &sample, ok)?;

        let boundary = shape.boundary(grid.local_space(world.rank()));
        let touch = |fields: &mut Vec<DistArray<f64, 3>>| {
            let one = std::hint::black_box(1.0);
            for field in fields {
                let mut view = field.owned_mut();
                for part in &boundary {
                    for (start, len) in part.rows() {
                        view.row_mut(start, len).iter_mut().for_each(|cell| *cell *= one);
                    }
                }
            }
        };
        let sample = timing::touch(world, bench.settings, &mut fields, touch, exchange)?;
        let ok = shape.is_right(&fields);
        let ok = shape.exchanges(&mut fields)? && ok;
        bench.emit(&case("touch"), &sample, ok)?;
    }
    Ok(())
}
