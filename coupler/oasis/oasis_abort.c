/* How an OASIS job ends.
 *
 * OASIS3-MCT of 2012 aborts with MPI_Abort(comm, 0): mpirun then reports success. libpsmile.a and a Fortran program find
 * this mpi_abort_ before MPI's own; code 0 becomes 1, and the reason is copied from OASIS' debug file to stderr.
 * Link oasis_abort.o into a Fortran program for the same.
 */
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATHS 3
#define LINES 12

static char log_paths[PATHS][1024];
static int log_stream = 2;
static char late[512];

/* Files that may hold the reason, newest last; stream: where to write while stderr is redirected. */
void halocline_abort_logs(const char *first, const char *second, const char *third, int stream)
{
    snprintf(log_paths[0], sizeof log_paths[0], "%s", first);
    snprintf(log_paths[1], sizeof log_paths[1], "%s", second);
    snprintf(log_paths[2], sizeof log_paths[2], "%s", third);
    log_stream = stream;
}

/* Copy the last lines of a file; 0 when it is absent or empty. */
static int copy_tail(const char *path)
{
    char text[2001];
    FILE *in = path[0] ? fopen(path, "r") : NULL;
    if (!in) return 0;
    fseek(in, 0, SEEK_END);
    long size = ftell(in);
    fseek(in, size > 2000 ? size - 2000 : 0, SEEK_SET);
    size_t n = fread(text, 1, 2000, in);
    fclose(in);
    text[n] = 0;
    if (!strstr(text, "ERROR") && !strstr(text, "error") && !strstr(text, "abort") && !strstr(text, "not found")) return 0;
    char *start = text + n;
    for (int lines = 0; start > text && lines <= LINES; start--)
        if (start < text + n && start[-1] == '\n') lines++;
    dprintf(log_stream, "halocline: OASIS3-MCT stopped the job. The end of %s:\n%s\n", path, start);
    return 1;
}

void mpi_abort_(MPI_Fint *comm, MPI_Fint *code, MPI_Fint *ierr)
{
    int told = 0;
    for (int i = PATHS - 1; i >= 0 && !told; i--) told = copy_tail(log_paths[i]);
    if (!told) dprintf(log_stream, "halocline: OASIS3-MCT stopped the job; its files nout.000000 and debug.* may say why.\n");
    usleep(200000); /* mpirun may end the job before it has forwarded the message */
    *ierr = MPI_Abort(MPI_Comm_f2c(*comm), *code ? *code : 1);
}

static void too_late(int signal_number)
{
    (void)signal_number;
    if (write(log_stream, late, strlen(late)) < 0) _exit(4);
    _exit(3); /* without MPI_Finalize: mpirun ends the other ranks */
}

/* End this process with a message when `seconds` pass; 0 seconds calls it off. Needs no thread: Python is shutting down. */
void halocline_deadline(unsigned seconds, const char *message)
{
    snprintf(late, sizeof late, "%s", message);
    signal(SIGALRM, seconds ? too_late : SIG_DFL);
    alarm(seconds);
}

/* The MPI that this library was compiled with: vendor and version, as mpi4py.MPI.get_vendor() names them. */
const char *halocline_built_with(void)
{
#if defined(OMPI_MAJOR_VERSION)
    static char text[64];
    snprintf(text, sizeof text, "Open MPI %d", OMPI_MAJOR_VERSION);
    return text;
#elif defined(MPICH_VERSION)
    return "MPICH " MPICH_VERSION;
#else
    return "unknown";
#endif
}
