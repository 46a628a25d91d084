//! The heat equation, at several numbers of ranks and by every scheme.

mod command;

use command::{Ended, Scratch, parhelion};
use serde_json::Value;

const SCHEMES: [&str; 8] =
    ["p2p", "persistent", "neighbor", "persistent-neighbor", "rma-pull", "rma-push", "shared", "auto"];

/// Runs `heat ... --json` with pictures in `scratch`.
fn heat(scratch: &Scratch, args: &[&str]) -> Value {
    let prefix = scratch.path("heat");
    let ended = parhelion(&[&["heat", "--json", "--output", &prefix], args].concat());
    assert_eq!(ended.code, Some(0), "{args:?}: {}", ended.stderr);
    assert_eq!(ended.stdout.lines().count(), 1, "{args:?}: one object on one line: {}", ended.stdout);
    serde_json::from_str(&ended.stdout).expect("stdout is JSON")
}

fn refused(args: &[&str]) -> Ended {
    let ended = parhelion(&[&["heat"], args].concat());
    assert_eq!((ended.code, ended.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ended.stderr);
    ended
}

/// A picture, and its size and bytes of a row.
fn png(rows: u32, columns: u32, colour: png::ColorType) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, columns, rows);
    encoder.set_color(colour);
    encoder.set_depth(png::BitDepth::Eight);
    let pixels: Vec<u8> =
        (0..(rows * columns) as usize * colour.samples()).map(|i| if i % 7 < 3 { 250 } else { 10 }).collect();
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

/// The size and colour type of a picture, and its pixels.
fn pixels(path: &str) -> ((u32, u32), png::ColorType, Vec<u8>) {
    let mut reader =
        png::Decoder::new(std::io::BufReader::new(std::fs::File::open(path).unwrap())).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    reader.next_frame(&mut pixels).unwrap();
    let info = reader.info();
    (info.size(), info.color_type, pixels)
}

#[test]
fn the_result_is_the_same_to_the_last_bit_at_any_number_of_ranks_and_by_any_scheme() {
    let scratch = Scratch::new("heat-bits");
    for size in ["24x17", "9x8x7"] {
        let alone = heat(&scratch, &["--size", size, "--steps", "20", "-n", "1"]);
        let picture = std::fs::read(scratch.path("heat-after.png")).unwrap();
        for ranks in ["1", "2", "3", "4", "7"] {
            for overlap in ["on", "off"] {
                let args = ["--size", size, "--steps", "20", "-n", ranks, "--overlap", overlap];
                assert_eq!(heat(&scratch, &args)["checksum"], alone["checksum"], "{size} {ranks} {overlap}");
                assert_eq!(std::fs::read(scratch.path("heat-after.png")).unwrap(), picture, "{size} {ranks}");
            }
        }
        for scheme in SCHEMES {
            let found = heat(&scratch, &["--size", size, "--steps", "20", "-n", "3", "--scheme", scheme]);
            assert_eq!(found["checksum"], alone["checksum"], "{size} {scheme}");
            assert!(found["scheme"].as_str().unwrap().starts_with(scheme), "{found}");
        }
        let other = heat(&scratch, &["--size", size, "--steps", "21", "-n", "1"]);
        assert_ne!(other["checksum"], alone["checksum"], "a checksum that never changes shows nothing");
    }
}

#[test]
fn the_error_falls_with_the_square_of_the_width_of_a_cell() {
    let scratch = Scratch::new("heat-order");
    for size in ["128x96", "64x64x64"] {
        let table = heat(&scratch, &["--size", size, "--steps", "160", "-n", "2", "--convergence"]);
        let rows = table["convergence"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        let order = rows[2]["order"].as_f64().unwrap();
        assert!((1.9..2.1).contains(&order), "{size}: {table}");
        assert!(rows[2]["error_max"].as_f64().unwrap() < rows[0]["error_max"].as_f64().unwrap() / 8.0, "{table}");
    }
}

#[test]
fn the_json_object_has_its_keys_and_right_numbers() {
    let scratch = Scratch::new("heat-json");
    let value = heat(&scratch, &["--size", "12x10", "--steps", "3", "-n", "2"]);
    assert_eq!(
        (&value["size"], &value["ranks"], &value["grid"]),
        (&vec![12, 10].into(), &2.into(), &vec![2, 1].into())
    );
    // Two neighbours in the periodic axis are one rank: both rows of 10 go in one message each way.
    assert_eq!((&value["halo_bytes_per_exchange"], &value["messages_per_exchange"]), (&(4 * 10 * 8).into(), &2.into()));
    assert_eq!((&value["backend"], &value["overlap"], &value["steps"]), (&"local".into(), &true.into(), &3.into()));
    assert!(value["error_max"].as_f64().unwrap() < 0.1);
    for part in ["total", "setup", "halo", "compute"] {
        assert!(value["seconds"][part].as_f64().unwrap() >= 0.0, "{part}");
    }
    assert_eq!(pixels(value["before"].as_str().unwrap()).0, (10, 12), "a row of the picture is the first axis");
}

#[test]
fn a_picture_is_blurred_in_its_own_colours() {
    let scratch = Scratch::new("heat-picture");
    for (colour, shown) in [
        (png::ColorType::Grayscale, png::ColorType::Grayscale),
        (png::ColorType::Rgb, png::ColorType::Rgb),
        (png::ColorType::Rgba, png::ColorType::Rgb),
    ] {
        let file = scratch.file("in.png", png(19, 31, colour));
        let mut results = Vec::new();
        for ranks in ["1", "3"] {
            let value = heat(&scratch, &["--image", &file, "--steps", "40", "-n", ranks]);
            assert_eq!((&value["size"], &value["error_max"]), (&vec![19, 31].into(), &Value::Null));
            results.push(value["checksum"].clone());
            let (size, kind, before) = pixels(&scratch.path("heat-before.png"));
            assert_eq!((size, kind), ((31, 19), shown));
            if colour == shown {
                assert_eq!(before, pixels(&file).2, "before anything happened it is the picture itself");
            }
            let after = pixels(&scratch.path("heat-after.png")).2;
            let spread =
                |pixels: &[u8]| i32::from(*pixels.iter().max().unwrap()) - i32::from(*pixels.iter().min().unwrap());
            assert!(spread(&after) < spread(&before) / 2, "{colour:?}: {} of {}", spread(&after), spread(&before));
        }
        assert_eq!(results[0], results[1], "{colour:?}");
    }
}

#[test]
fn what_cannot_be_done_is_one_line_and_code_2() {
    let scratch = Scratch::new("heat-refused");
    let no_picture = scratch.file("no.png", "GIF89a");
    let file = scratch.path("missing.png");
    let folder = refused(&["--image", &scratch.path("")]);
    assert!(folder.stderr.ends_with(": cannot read a PNG: Is a directory\n"), "{}", folder.stderr);
    for args in [
        &["--image", &file][..],
        &["--image", &no_picture, "-n", "3"],
        &["--size", "8x8", "--output", "/nowhere/heat"],
        &["--size", "30x30", "--convergence"],
        // More than any address space holds.
        &["--size", "10000000x10000000", "-n", "2"],
        &["--size", "10000000x10000000", "--convergence"],
    ] {
        let ended = refused(args);
        assert_eq!(ended.stderr.lines().count(), 1, "{args:?}: {}", ended.stderr);
        assert!(ended.stderr.starts_with("error: "), "{args:?}: {}", ended.stderr);
    }
    for args in [
        &["--size", "8"][..],
        &["--size", "0x8"],
        &["--size", "8x8x8x8"],
        &["--size", "99999999999x99999999999"],
        &["--scheme", "telepathy"],
        &["--image", "a.png", "--size", "8x8"],
        &["--steps", "-1"],
    ] {
        refused(args);
    }
}

#[test]
fn more_ranks_than_cells_and_no_steps_are_ordinary() {
    let scratch = Scratch::new("heat-small");
    for args in [&["--size", "1x2", "--steps", "4", "-n", "7"][..], &["--size", "16x16", "--steps", "0", "-n", "2"]] {
        let value = heat(&scratch, args);
        let alone = heat(&scratch, &[&args[..4], &["-n", "1"]].concat());
        assert_eq!(value["checksum"], alone["checksum"]);
    }
}
