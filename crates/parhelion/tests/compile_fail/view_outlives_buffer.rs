use parhelion::array::{IndexSpace, View};

fn main() {
    let space = IndexSpace::from_shape([4]);
    let row;
    {
        let buffer = vec![1.0; 4];
        row = View::new(&buffer, space, space).row([0], 4);
    }
    println!("{row:?}");
}
