/* wrong-clock FILE PROGRAM [ARGUMENT...]
 *
 * Runs PROGRAM, and everything that it starts, under a wall clock that is wrong by as many seconds as the text in FILE
 * says. A second number in FILE is added to the time since boot: with both numbers grown by the same, the host has
 * slept for so long. FILE is read anew for each reading of a clock, so that clocks can jump while the program runs;
 * replace it by renaming. No clock of the machine changes, and monotonic time, timers and the times of files stay what
 * they are.
 *
 * How: a seccomp filter stops the program where it asks the kernel for the wall clock, and the answer is given here,
 * in place of the kernel. For that the program must ask the kernel at all, so it never learns of the vDSO, the piece of
 * code that reads clocks without a system call: its address is taken out of what exec leaves on the stack.
 *
 * x86_64 Linux. Exits like PROGRAM, or with 125 where the machinery does not work here. */
#define _GNU_SOURCE
#include <elf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CANNOT 125
#define NR offsetof(struct seccomp_data, nr)
#define FIRST_ARGUMENT offsetof(struct seccomp_data, args[0])
#define LOAD(where) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (where))
#define UNLESS(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), 0, (skip))
#define WHERE(value, skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (skip), 0)
#define ANSWER(action) BPF_STMT(BPF_RET | BPF_K, (action))

static const char *offset_file;
static pid_t program;

static void give_up(const char *what) {
    fprintf(stderr, "wrong-clock: %s: %s\n", what, strerror(errno));
    if (program > 0) kill(program, SIGKILL);
    _exit(CANNOT);
}

/* The wall clock, or the time since boot, as the program is to see it. */
static struct timespec wrong_time(clockid_t clock) {
    struct timespec now;
    long long offset = 0, asleep = 0;
    FILE *file = fopen(offset_file, "r");
    if (!file || fscanf(file, "%lld %lld", &offset, &asleep) < 1) give_up(offset_file);
    fclose(file);
    clock_gettime(clock, &now);
    now.tv_sec += clock == CLOCK_BOOTTIME ? asleep : offset;
    return now;
}

/* Traces readings of these clocks and lets all else through. A program that makes itself undumpable would lock its
 * tracer out, if that is no root; it is told that it has succeeded. */
static void install_filter(void) {
    struct sock_filter filter[] = {
        LOAD(offsetof(struct seccomp_data, arch)),
        UNLESS(AUDIT_ARCH_X86_64, 13),
        LOAD(NR),
        WHERE(SYS_gettimeofday, 12),
        WHERE(SYS_time, 11),
        UNLESS(SYS_clock_gettime, 5),
        LOAD(FIRST_ARGUMENT),
        WHERE(CLOCK_REALTIME, 8),
        WHERE(CLOCK_REALTIME_COARSE, 7),
        WHERE(CLOCK_TAI, 6),
        WHERE(CLOCK_BOOTTIME, 5),
        LOAD(NR),
        UNLESS(SYS_prctl, 2),
        LOAD(FIRST_ARGUMENT),
        WHERE(PR_SET_DUMPABLE, 2),
        ANSWER(SECCOMP_RET_ALLOW),
        ANSWER(SECCOMP_RET_TRACE),
        ANSWER(SECCOMP_RET_ERRNO),
    };
    struct sock_fprog whole = {sizeof filter / sizeof *filter, filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &whole))
        give_up("seccomp");
}

/* Answers a reading of a clock in place of the kernel. */
static void answer(pid_t thread) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, thread, 0, &registers)) return;
    int is_boottime = registers.orig_rax == SYS_clock_gettime && registers.rdi == CLOCK_BOOTTIME;
    struct timespec now = wrong_time(is_boottime ? CLOCK_BOOTTIME : CLOCK_REALTIME);
    uint64_t pair[2] = {(uint64_t)now.tv_sec, (uint64_t)now.tv_nsec};
    uint64_t target = registers.rdi, result = 0, length = sizeof pair;
    switch (registers.orig_rax) {
    case SYS_clock_gettime:
        target = registers.rsi;
        break;
    case SYS_gettimeofday:
        pair[1] = (uint64_t)now.tv_nsec / 1000;
        break;
    case SYS_time:
        result = pair[0];
        length = sizeof pair[0];
        break;
    default:
        return;
    }
    struct iovec from = {pair, length}, to = {(void *)target, length};
    if (target && process_vm_writev(thread, &from, 1, &to, 1, 0) != (ssize_t)length) result = (uint64_t)-EFAULT;
    registers.orig_rax = (unsigned long long)-1; /* the kernel does nothing more */
    registers.rax = result;
    ptrace(PTRACE_SETREGS, thread, 0, &registers);
}

/* The stack after exec holds the number of arguments, the arguments, a zero, the environment, a zero, and then pairs
 * of a type and a value. The pair with the vDSO becomes one to ignore. */
static void hide_vdso(pid_t process) {
    struct user_regs_struct registers;
    if (ptrace(PTRACE_GETREGS, process, 0, &registers)) return;
    unsigned long at = registers.rsp;
    at += 8 * (1 + (unsigned long)ptrace(PTRACE_PEEKDATA, process, at, 0) + 1);
    while (ptrace(PTRACE_PEEKDATA, process, at, 0)) at += 8;
    for (at += 8;; at += 16) {
        long type = ptrace(PTRACE_PEEKDATA, process, at, 0);
        if (type == AT_NULL) return;
        if (type == AT_SYSINFO_EHDR) ptrace(PTRACE_POKEDATA, process, at, (long)AT_IGNORE);
    }
}

static void pass_on(int signal_number) { kill(program, signal_number); }

/* Handles one stop and lets the thread go on. */
static void handle_stop(pid_t thread, int status) {
    int signal_number = WSTOPSIG(status);
    switch (status >> 16) {
    case PTRACE_EVENT_SECCOMP:
        answer(thread);
        break;
    case PTRACE_EVENT_EXEC:
        hide_vdso(thread);
        break;
    case PTRACE_EVENT_STOP:
        if (signal_number == SIGSTOP || signal_number == SIGTSTP || signal_number == SIGTTIN || signal_number == SIGTTOU) {
            ptrace(PTRACE_LISTEN, thread, 0, 0);
            return;
        }
        break;
    case 0:
        ptrace(PTRACE_CONT, thread, 0, signal_number);
        return;
    default:
        break;
    }
    ptrace(PTRACE_CONT, thread, 0, 0);
}

int main(int count, char **arguments) {
    int ready[2];
    char byte = 0;
    if (count < 3) {
        fprintf(stderr, "usage: wrong-clock FILE PROGRAM [ARGUMENT...]\n");
        return CANNOT;
    }
    offset_file = arguments[1];
    if (pipe2(ready, 02000000 /* O_CLOEXEC */)) give_up("pipe");
    program = fork();
    if (program < 0) give_up("fork");
    if (program == 0) {
        /* Goes on once it is traced: the end of the pipe is the sign. */
        close(ready[1]);
        if (read(ready[0], &byte, 1) != 0) _exit(CANNOT);
        install_filter();
        execvp(arguments[2], arguments + 2);
        give_up(arguments[2]);
    }
    long options = PTRACE_O_TRACESECCOMP | PTRACE_O_TRACEEXEC | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
                   PTRACE_O_TRACEVFORK | PTRACE_O_EXITKILL;
    if (ptrace(PTRACE_SEIZE, program, 0, options)) give_up("ptrace");
    signal(SIGTERM, pass_on);
    signal(SIGINT, pass_on);
    signal(SIGHUP, pass_on);
    signal(SIGUSR1, pass_on);
    close(ready[0]);
    close(ready[1]);
    int result = CANNOT;
    for (;;) {
        int status;
        pid_t thread = waitpid(-1, &status, __WALL);
        if (thread < 0) {
            if (errno == EINTR) continue;
            return result;
        }
        if (WIFSTOPPED(status))
            handle_stop(thread, status);
        else if (thread == program)
            result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    }
}
