#!/usr/bin/perl
# SPDX-License-Identifier: Apache-2.0
# sandbox_probe.pl DIRECTORY [ABORT]: tries what a service should not be able to do, and prints a line for each: its name,
# then `done`, `empty`, the name of the error or the signal that ended it. Perl, since each Debian has it.
# DIRECTORY: has old_system_call, a program of the i386 that ends with 42, and may be written. ABORT: the abort file of a
# FUSE connection; it is opened, and nothing is written. What would change the system is asked for in a way that fails all
# the same. x86-64: the numbers are its system calls.
use strict;
use warnings;
use Errno;
use Fcntl;

my ($directory, $abort) = @ARGV;
my %name_of = map { Errno->EXISTS($_) ? (Errno->can($_)->() => $_) : () } keys %Errno::;
my $zeros = "\0" x 2000;

# Each in a process of its own: a filter may kill who calls.
sub try_it {
  my ($name, $attempt) = @_;
  my $child = fork // die "fork: $!";
  if ($child == 0) {
    $! = 0;
    my $done = $attempt->() // 0;
    my $errno = $! + 0;
    printf "%s %s\n", $name, $done eq "empty" ? $done : $done ? "done" : $name_of{$errno} // $errno;
    exit 0;
  }
  waitpid $child, 0;
  printf "%s killed by signal %d\n", $name, $? & 127 if $? & 127;
}

sub try_syscall {
  my ($name, @arguments) = @_;
  try_it($name, sub { syscall(shift @arguments, @arguments) != -1 });
}

sub try_open {
  my ($name, $path, $flags) = @_;
  try_it($name, sub { sysopen(my $file, $path, $flags, 0600) });
}

sub try_list {
  my ($name, $path) = @_;
  try_it($name, sub {
    opendir(my $place, $path) or return 0;
    return (grep { !/^\.\.?$/ } readdir $place) ? 1 : "empty";
  });
}

sub try_chmod {
  my $file = "$directory/probe";
  try_it("setuid_bit", sub { sysopen(my $made, $file, O_CREAT | O_WRONLY, 0600) && chmod 04700, $file });
  unlink $file;
}

sub try_old_program {
  my $code = system "$directory/old_system_call";
  print "old_system_call ", $code == 42 << 8 ? "done" : $code == -1 ? "ENOEXEC" : "killed by signal " . ($code & 127), "\n";
}

$| = 1;
try_syscall("unshare_uts", 272, 0x04000000);
try_syscall("unshare_mnt", 272, 0x00020000);
try_syscall("unshare_user", 272, 0x10000000);
try_syscall("personality", 135, 8);
try_syscall("mmap_writable_executable", 9, 0, 4096, 7, 0x22, -1, 0);
try_syscall("realtime", 144, 0, 1, pack("i", 1));
try_syscall("socket_packet", 41, 17, 3, 0);
try_syscall("socket_vsock", 41, 40, 1, 0);
try_syscall("set_clock", 227, 0, pack("qq", 0, -1));      # EINVAL
try_syscall("load_module", 175, $zeros, 64, "");          # ENOEXEC
try_syscall("kernel_log", 103, 10, 0, 0);                 # asks for its size
try_syscall("swap_off", 168, $directory);                 # EINVAL
try_syscall("reboot", 169, 0, 0, 0, 0);                   # EINVAL
try_syscall("set_namespace", 308, -1, 0);                  # EBADF
try_syscall("add_key", 248, "user", "x", "x", 1, -3);
try_chmod();
try_old_program();
for my $place (qw(usr etc var run srv)) {
  try_open("write_$place", "/$place/defused-probe", O_CREAT | O_WRONLY);
  unlink "/$place/defused-probe";
}
try_open("write_directory", "$directory/probe", O_CREAT | O_WRONLY);
try_open("write_sysfs", "/sys/kernel/mm/ksm/run", O_WRONLY);
try_open("write_cgroup", "/sys/fs/cgroup/systemd/cgroup.procs", O_WRONLY);
try_open("device_fuse", "/dev/fuse", O_RDWR);
try_open("device_tun", "/dev/net/tun", O_RDWR);
unlink "$directory/probe";
try_list("list_$_->[0]", $_->[1]) for (["root", "/root"], ["home", "/home"], ["modules", "/usr/lib/modules"], ["tmp", "/tmp"]);
try_open("open_abort", $abort, O_WRONLY) if defined $abort;
print "that was all\n";
