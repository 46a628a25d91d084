use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use super::*;

/// A file with a secret, gone afterwards.
struct Secret(PathBuf);

impl Secret {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("parhelion-seat-{}-{name}", std::process::id()));
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut file, &[9; 32]).unwrap();
        Secret(path)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What comes of these variables, and of a secret if there is one.
fn read(pairs: &[(&str, &str)], secret: Option<&Secret>) -> Result<Seat> {
    let secret = secret.map(|secret| secret.0.to_str().unwrap());
    let lookup = |name: &str| match name {
        "PARHELION_SECRET_FILE" if secret.is_some() => secret.map(Into::into),
        _ => pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
    };
    seat(&lookup, &Config::default())
}

fn refusal(pairs: &[(&str, &str)], secret: Option<&Secret>) -> String {
    read(pairs, secret).expect_err("it is no seat").to_string()
}

fn place(seat: &Seat) -> String {
    seat.meeting.as_ref().unwrap().to_string()
}

const OWN: [(&str, &str); 3] =
    [("PARHELION_RANK", "1"), ("PARHELION_SIZE", "4"), ("PARHELION_RENDEZVOUS", "node-1:5000-5003")];

#[test]
fn our_own_variables_name_a_seat() {
    let secret = Secret::new("own");
    let seat = read(&[&OWN[..], &[("PARHELION_LOCAL_RANK", "0")]].concat(), Some(&secret)).unwrap();
    assert_eq!((seat.rank, seat.size, seat.local_rank), (1, 4, Some(0)));
    assert_eq!(
        seat.to_string(),
        "rank 1 of 4 (0 on its machine), says PARHELION_RANK; the ranks meet at node-1:5000-5003"
    );
    let named = |pairs: &[(&str, &str)]| {
        is_named(&|name| pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into()))
    };
    assert!(named(&OWN) && named(&OWN[..1]) && named(&OWN[1..]) && !named(&OWN[2..]) && !named(&[]));
}

#[test]
fn the_secret_and_the_name_of_the_job_make_the_key() {
    let secret = Secret::new("key");
    let code = |seat: Seat| (seat.key.code(&[b"x"]), *seat.key.job());
    let one = code(read(&OWN, Some(&secret)).unwrap());
    assert_eq!(one, code(read(&OWN, Some(&secret)).unwrap()));
    let other = code(read(&[&OWN[..], &[("PARHELION_JOB", "other")]].concat(), Some(&secret)).unwrap());
    assert!(one.0 == other.0 && one.1 != other.1);
}

#[test]
fn one_rank_needs_neither_place_nor_secret() {
    let seat = read(&[("PARHELION_RANK", "0"), ("PARHELION_SIZE", "1")], None).unwrap();
    assert!(seat.meeting.is_none());
}

#[test]
fn what_is_missing_or_wrong_is_named() {
    let secret = Secret::new("wrong");
    let with = |name, value| {
        let mut pairs = OWN.to_vec();
        pairs.retain(|(known, _)| *known != name);
        pairs.push((name, value));
        refusal(&pairs, Some(&secret))
    };
    for (name, value, why) in [
        ("PARHELION_RANK", "4", "rank 4 of 4"),
        ("PARHELION_RANK", "-1", "PARHELION_RANK=-1: give a number"),
        ("PARHELION_RANK", "", "PARHELION_RANK is not set"),
        ("PARHELION_SIZE", "0", "rank 1 of 0"),
        ("PARHELION_SIZE", "9999999", "at most 1048576"),
        ("PARHELION_SIZE", "all", "PARHELION_SIZE=all: give a number"),
        ("PARHELION_LOCAL_RANK", "x", "PARHELION_LOCAL_RANK=x: give a number"),
        ("PARHELION_RENDEZVOUS", "", "PARHELION_RENDEZVOUS is not set"),
        ("PARHELION_RENDEZVOUS", "node-1", "PARHELION_RENDEZVOUS=node-1: give HOST:PORT"),
    ] {
        let text = with(name, value);
        assert!(text.contains(why), "{name}={value}: {text}");
    }
    let text = refusal(&OWN, None);
    assert!(text.contains("PARHELION_SECRET_FILE is not set") && text.contains("/dev/urandom"), "{text}");
    let text = refusal(&[&OWN[..], &[("PARHELION_SECRET_FILE", "/nonexistent/x")]].concat(), None);
    assert!(text.contains("PARHELION_SECRET_FILE=/nonexistent/x: "), "{text}");
    let text = refusal(&[], None);
    assert!(text.contains("parhelion run -n N") && text.contains("PARHELION_RANK"), "{text}");
    let lookup = |name: &str| OWN.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).into());
    let text = seat(&lookup, &Config::default().ranks(3)).unwrap_err().to_string();
    assert!(text.contains("PARHELION_RANKS") && text.contains("there are 4"), "{text}");
}

#[test]
fn torchrun_names_a_seat_behind_the_port_of_its_store() {
    let secret = Secret::new("torchrun");
    let torchrun = [("RANK", "2"), ("WORLD_SIZE", "4"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "gpu7")];
    let seat = read(&[&torchrun[..], &[("MASTER_PORT", "29500")]].concat(), Some(&secret)).unwrap();
    assert_eq!((seat.rank, seat.size, seat.local_rank, place(&seat)), (2, 4, Some(0), "gpu7:29501-29508".to_owned()));
    let text = refusal(&[&torchrun[..], &[("MASTER_PORT", "65535")]].concat(), Some(&secret));
    assert!(text.contains("MASTER_PORT=65535"), "{text}");
    let ours = [("MASTER_PORT", "29500"), ("PARHELION_RENDEZVOUS", "[::1]:4000")];
    assert_eq!(place(&read(&[&torchrun[..], &ours].concat(), Some(&secret)).unwrap()), "[::1]:4000");
}

#[test]
fn slurm_names_a_seat_at_the_first_host_of_the_step() {
    let secret = Secret::new("slurm");
    let slurm = |job, step| {
        let pairs = [
            ("SLURM_PROCID", "3"),
            ("SLURM_NTASKS", "9"),
            ("SLURM_STEP_NUM_TASKS", "8"),
            ("SLURM_LOCALID", "1"),
            ("SLURM_JOB_ID", job),
            ("SLURM_STEP_ID", step),
            ("SLURM_STEP_NODELIST", "rack[2-3,5]n[010-012,7],login"),
            ("SLURM_JOB_NODELIST", "other"),
        ];
        read(&pairs, Some(&secret)).unwrap()
    };
    let seat = slurm("4711", "0");
    assert_eq!((seat.rank, seat.size, seat.local_rank), (3, 8, Some(1)));
    assert!(place(&seat).starts_with("rack2n010:"), "{seat}");
    assert_eq!(place(&seat), place(&slurm("4711", "0")));
    assert_ne!(place(&seat), place(&slurm("4711", "1")));
    assert_ne!(slurm("4711", "1").key.job(), seat.key.job());
    for (list, first) in
        [("node1", "node1"), ("a,b[1-2]", "a"), ("n[07-09]-ib", "n07-ib"), ("n[3,5],m", "n3"), ("x[1", "x1")]
    {
        assert_eq!(first_host(list), first);
    }
}

#[test]
fn an_mpiexec_names_a_rank_and_no_place() {
    let secret = Secret::new("mpiexec");
    for mpiexec in [
        [("OMPI_COMM_WORLD_RANK", "1"), ("OMPI_COMM_WORLD_SIZE", "2"), ("OMPI_COMM_WORLD_LOCAL_RANK", "1")],
        [("PMI_RANK", "1"), ("PMI_SIZE", "2"), ("MPI_LOCALRANKID", "1")],
    ] {
        let text = refusal(&mpiexec, Some(&secret));
        assert!(text.contains("PARHELION_RENDEZVOUS is not set, and an mpiexec does not say"), "{text}");
        let seat =
            read(&[&mpiexec[..], &[("PARHELION_RENDEZVOUS", "localhost:4000")]].concat(), Some(&secret)).unwrap();
        assert_eq!((seat.rank, seat.size, seat.local_rank), (1, 2, Some(1)));
        // Ours come first: a launcher of ours may run inside of theirs.
        let seat = read(&[&mpiexec[..], &OWN].concat(), Some(&secret)).unwrap();
        assert_eq!((seat.rank, seat.size), (1, 4));
    }
}

#[test]
fn rank_0_may_be_given_the_socket_to_listen_at() {
    let secret = Secret::new("socket");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let number = listener.as_raw_fd().to_string();
    let with = |rank, number| {
        let pairs = [
            ("PARHELION_RANK", rank),
            ("PARHELION_SIZE", "2"),
            ("PARHELION_RENDEZVOUS", "localhost:4000"),
            ("PARHELION_RENDEZVOUS_FD", number),
        ];
        read(&pairs, Some(&secret))
    };
    let seat = with("0", &number).unwrap();
    assert_eq!(seat.listener.unwrap().local_addr().unwrap(), listener.local_addr().unwrap());
    assert!(with("1", &number).unwrap().listener.is_none());
    let file = std::fs::File::open(&secret.0).unwrap().as_raw_fd().to_string();
    for wrong in ["x", "1", "99999", &file] {
        let text = with("0", wrong).unwrap_err().to_string();
        assert!(text.contains(&format!("PARHELION_RENDEZVOUS_FD={wrong}: ")), "{text}");
    }
}
