use std::rc::Rc;

use parhelion::array::{IndexSpace, ViewMut};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let mut buffer = [const { None::<Rc<f64>> }; 4];
    let mut view = ViewMut::new(&mut buffer, space, space);
    std::thread::scope(|threads| {
        threads.spawn(move || view.fill(None));
    });
}
