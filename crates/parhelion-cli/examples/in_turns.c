/* The C half of in_turns.rs: what ../shared/peers times, as functions of a shared object. */
#include <mpi.h>

/* Starts MPI unless somebody has; whether it did. */
int begin(void) {
  int started;
  MPI_Initialized(&started);
  if (!started) MPI_Init(0, 0);
  return !started;
}

void end(void) { MPI_Finalize(); }

/* `count` round trips between ranks 0 and 1; the others look on. */
void round_trips(const void *send, void *receive, int bytes, int rank, long count) {
  for (long i = 0; i < count; i++) {
    if (rank == 0) {
      MPI_Send(send, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD);
      MPI_Recv(receive, bytes, MPI_BYTE, 1, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
    } else if (rank == 1) {
      MPI_Recv(receive, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
      MPI_Send(send, bytes, MPI_BYTE, 0, 1, MPI_COMM_WORLD);
    }
  }
}

void sums(const double *send, double *receive, int length, int rank, long count) {
  (void)rank;
  for (long i = 0; i < count; i++) MPI_Allreduce(send, receive, length, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
}
