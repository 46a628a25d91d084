//! What is seen of an array: its owned cells, its halo around them, its interior and its boundary, as views.

use parhelion_comm::Element;

use super::{DistArray, IndexSpace, RegionsMut, View, ViewMut};

impl<T: Element, const D: usize> DistArray<T, D> {
    /// The box of cells this rank owns: of global indices along axes in blocks, of local positions along cyclic and
    /// block-cyclic ones.
    pub fn owned_space(&self) -> IndexSpace<D> {
        self.place().owned()
    }

    /// The cells this rank owns, inside the box it stores.
    pub fn owned(&self) -> View<'_, T, D> {
        View::new(self.memory(), self.place().stored(), self.place().owned())
    }

    /// The cells this rank owns, to write.
    pub fn owned_mut(&mut self) -> ViewMut<'_, T, D> {
        let (place, _, memory) = self.split_mut();
        ViewMut::new(memory, place.stored(), place.owned())
    }

    /// All cells this rank stores: its own and the halo around them. A rank that owns nothing stores nothing.
    pub fn with_halo(&self) -> View<'_, T, D> {
        View::new(self.memory(), self.place().stored(), self.place().stored())
    }

    /// All cells this rank stores, to write: for values that no exchange brings, beyond the ends of an axis that is not
    /// periodic.
    pub fn with_halo_mut(&mut self) -> ViewMut<'_, T, D> {
        let (place, _, memory) = self.split_mut();
        ViewMut::new(memory, place.stored(), place.stored())
    }

    /// The owned cells from which no stencil within the halo widths reaches out of the owned cells.
    pub fn interior(&self) -> View<'_, T, D> {
        View::new(self.memory(), self.place().stored(), self.place().interior().first().copied().unwrap_or_default())
    }

    /// The interior, to write: at most one box, of the same type as [`boundary_mut`](Self::boundary_mut), so that one
    /// function updates both.
    ///
    /// ```
    /// use parhelion::prelude::*;
    ///
    /// parhelion::run(|world| {
    ///     let grid = Decomposition::new([20, 30], &world)?.halo(2);
    ///     let mut u = DistArray::<i32, 2>::zeros(&grid)?;
    ///     u.interior_mut().for_each(|_, cell| *cell += 1);
    ///     u.boundary_mut().for_each(|_, cell| *cell += 1);
    ///     assert!(u.all(|cell| cell == 1)?);
    ///     Ok(())
    /// })?;
    /// # Ok::<(), parhelion::Error>(())
    /// ```
    pub fn interior_mut(&mut self) -> RegionsMut<'_, T, D> {
        let (place, _, memory) = self.split_mut();
        RegionsMut::new(memory, place.stored(), place.interior())
    }

    /// The owned cells outside the interior, to write: at most `2 D` disjoint boxes.
    pub fn boundary_mut(&mut self) -> RegionsMut<'_, T, D> {
        let (place, _, memory) = self.split_mut();
        RegionsMut::new(memory, place.stored(), place.boundary())
    }
}
