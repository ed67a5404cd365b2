/* A volume that hangs: while the file $HANG_WHILE exists, no name in a folder is made safe on the disk, and none is removed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void hang(void) {
    const char *flag = getenv("HANG_WHILE");
    while (flag && access(flag, F_OK) == 0) usleep(10000);
}

int fsync(int file) {
    struct stat stat;
    if (fstat(file, &stat) == 0 && S_ISDIR(stat.st_mode)) hang();
    int (*next)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    return next(file);
}

int unlink(const char *path) {
    hang();
    int (*next)(const char *) = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    return next(path);
}
