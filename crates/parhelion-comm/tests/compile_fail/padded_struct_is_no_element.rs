// Padding is not data: `Pod` cannot be derived, and without it nothing can be sent.
#[derive(Clone, Copy)]
#[repr(C)]
struct Padded {
    id: u8,
    value: f64,
}

fn main() {
    parhelion_comm::run(|world| world.send(&[Padded { id: 1, value: 2.0 }], 0, 0)).unwrap();
}
