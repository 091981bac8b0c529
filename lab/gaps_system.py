"""More gaps for lab/gaps.py: what belongs to the system, and may be written, read or started by others."""

from __future__ import annotations

from lab.host import Host
from lab.plant import Plant, Undo, both, command, mode, process, swap, text

SSHD = "/etc/ssh/sshd_config"
DROP_IN = "/etc/ssh/sshd_config.d/00-gitguard.conf"
APP = "{repos}/team/app.git"
KEYS = "{home}/.ssh/authorized_keys"


def demanding(plant: Plant) -> Plant:
    """The same while reading requires 2FA, too."""

    def made(host: Host) -> Undo:
        host.admin("repo", "require", "team/app", "all")
        undo = plant(host)

        def back() -> None:
            undo()
            host.admin("repo", "require", "team/app", "push")

        return back

    return made


def sshd(*words: str) -> Plant:
    """Another sshd that runs with these words; it may end by itself, so it is asked about at once."""
    return process(["/usr/sbin/sshd", "-D", "-p", "52222", "-oPidFile=none", *words])


# (finding, what was planted, how)
ROWS: list[tuple[str, str, Plant]] = [
    # L1: every sshd, however it is spelt
    ("sshd-other", "sshd with the same file and -o PermitUserEnvironment", sshd("-o", "PermitUserEnvironment=yes")),
    ("sshd-other", "sshd with -oStrictModes glued", sshd("-oStrictModes=no")),
    ("sshd-other", "sshd with -f glued", both(text("/etc/ssh/other", "AuthorizedKeysFile /etc/ssh/keys\n"), sshd("-f/etc/ssh/other"))),
    ("sshd-other", "inetd starts an sshd with another file", both(text("/etc/ssh/other", "AuthorizedKeysFile /etc/ssh/keys\n"), text("/etc/inetd.conf", "ssh2 stream tcp nowait root /usr/sbin/sshd sshd -i -f /etc/ssh/other\n"))),
    ("sshd-other", "a socket starts an sshd with another file", both(
        text("/etc/ssh/other", "AuthorizedKeysFile /etc/ssh/keys\n"),
        text("/etc/systemd/system/ops.socket", "[Socket]\nListenStream=2200\nAccept=yes\n"),
        text("/etc/systemd/system/ops.service", "[Service]\nExecStart=-/usr/sbin/sshd -i -f /etc/ssh/other\n"),
    )),
    ("sshd-other", "a drop-in of ssh.service gives it -o", text("/etc/systemd/system/ssh.service.d/x.conf", "[Service]\nExecStart=\nExecStart=/usr/sbin/sshd -D -o PermitUserEnvironment=yes\n")),
    ("early-variable", "a drop-in of ssh.service sets LD_LIBRARY_PATH", text("/etc/systemd/system/ssh.service.d/x.conf", "[Service]\nEnvironment=LD_LIBRARY_PATH=/srv/x\n")),
    # L2: sshd's files
    ("sshd-file", "others may write sshd_config", mode(SSHD, 0o666)),
    ("sshd-file", "others may write our drop-in", mode(DROP_IN, 0o666)),
    ("sshd-file", "others may write the folder of drop-ins", mode("/etc/ssh/sshd_config.d", 0o777)),
    ("sshd-file", "others may write /etc/ssh", mode("/etc/ssh", 0o777)),
    ("sshd-file", "others may write sshd's defaults", mode("/etc/default/ssh", 0o666)),
    ("sshd-file", "an included file is somebody's", both(text("/srv/more.conf", "# nothing\n"), text("/etc/ssh/sshd_config.d/70-x.conf", "Include /srv/more.conf\n"), mode("/srv/more.conf", 0o666))),
    # L3: Git's
    ("git-file", "others may write /etc/gitconfig", both(text("/etc/gitconfig", "[init]\n\tdefaultBranch = main\n"), mode("/etc/gitconfig", 0o666))),
    ("git-file", "an include of /etc/gitconfig is anybody's", both(text("/srv/more.inc", "[x]\n\ty = z\n"), mode("/srv/more.inc", 0o666), text("/etc/gitconfig", "[include]\n\tpath = /srv/more.inc\n"))),
    ("git-program", "core.fsmonitor is anybody's program", both(text("/srv/monitor", "#!/bin/sh\n"), mode("/srv/monitor", 0o777), text("/etc/gitconfig", "[core]\n\tfsmonitor = /srv/monitor\n"))),
    ("git-program", "a filter is anybody's program", both(text("/srv/filter", "#!/bin/sh\n"), mode("/srv/filter", 0o777), text("/etc/gitconfig", '[filter "x"]\n\tsmudge = /srv/filter %f\n'))),
    ("git-program", "a repository's packObjectsHook is anybody's", both(
        text("/srv/pack", "#!/bin/sh\n"), mode("/srv/pack", 0o777),
        command("cp -p " + APP + "/config /srv/kept; git --git-dir " + APP + " config uploadpack.packObjectsHook /srv/pack; chown {account}: " + APP + "/config", "cp -p /srv/kept " + APP + "/config"),
    )),
    # L4, what is loaded
    ("code", "others may write a file of a library", mode("/opt/gitguard/lib/click/core.py", 0o666)),
    ("code", "others may write a compiled file of the package", mode("/opt/gitguard/lib/gitguard/__init__.py", 0o666)),
    # L5, L8: what must stay unread
    ("repository-readable", "everybody reads what demands 2FA for reading", demanding(command(
        "chmod o+rx {home} {repos} {repos}/team && chmod -R o+rX " + APP, "chmod -R o-rwx " + APP + " {repos}/team {repos} {home}",
    ))),
    ("copy-readable", "store and keys copied beside the state folder", command("cp -a /var/lib/gitguard /var/lib/gitguard-old && chmod -R go+rX /var/lib/gitguard-old", "rm -r /var/lib/gitguard-old")),
    ("copy-readable", "a backup of the store that everybody reads", command("install -d -m 755 /srv/backup && cp /var/lib/gitguard/gitguard.db /srv/backup/x.db && chmod 644 /srv/backup/x.db", "rm -r /srv/backup")),
    ("store-unavailable", "an ACL opens the key file", command("setfacl -m u:daemon:r /var/lib/gitguard/secret.keys || chmod 640 /var/lib/gitguard/secret.keys", "setfacl -b /var/lib/gitguard/secret.keys; chmod 600 /var/lib/gitguard/secret.keys")),
    # L6: seen another way
    ("mounted", "the root is mounted elsewhere, open", demanding(command(
        "chmod -R o+rX {repos}; mkdir /srv/seen && mount --bind {repos} /srv/seen", "umount /srv/seen; rmdir /srv/seen; chmod -R o-rwx {repos}",
    ))),
    ("exported", "git daemon started in the root, without a path", command(
        "cd {repos} && (setsid git daemon --listen=127.0.0.1 --port=0 --export-all --reuseaddr >/dev/null 2>&1 & echo $! >/srv/daemon.pid); sleep 0.3",
        "kill -- -$(cat /srv/daemon.pid); rm /srv/daemon.pid",
    )),
    ("exported", "a unit's drop-in makes it serve the root", both(
        text("/etc/systemd/system/gd.service", "[Service]\nExecStart=/usr/bin/git daemon --export-all\n"),
        text("/etc/systemd/system/gd.service.d/x.conf", "[Service]\nWorkingDirectory={repos}\n"),
    )),
    ("exported", "lighttpd's docroot is the root", text("/etc/lighttpd/conf.conf", 'server.document-root = "{repos}"\n')),
    ("exported", "vsftpd's local_root is above the root", text("/etc/vsftpd.conf", "local_root={home}\n")),
    # L7: who else
    ("sudo", "sudoers names the account by its uid", command('mkdir -p /etc/sudoers.d; echo "mallory ALL=(#$(id -u {account})) ALL" > /etc/sudoers.d/x', "rm /etc/sudoers.d/x")),
    ("sudo", "sudoers names it by an alias", text("/etc/sudoers.d/x", "Runas_Alias OPS = www-data, git\nmallory ALL=(OPS) NOPASSWD: /bin/sh\n")),
    ("sudo", "sudoers lets its group act", text("/etc/sudoers.d/x", "%git ALL=(ALL) NOPASSWD: ALL\n")),
    ("sudo", "doas lets somebody act as it", text("/etc/doas.conf", "permit nopass mallory as git\n")),
    ("sudo", "others may write a file of sudoers", both(text("/etc/sudoers.d/x", "# nothing\n"), mode("/etc/sudoers.d/x", 0o666))),
    ("setuid", "a setuid shell of the account's", command("cp /bin/dash /opt/sh && chown {account}: /opt/sh && chmod 4755 /opt/sh", "rm /opt/sh")),
    ("setuid", "a setgid program of its group's", command("cp /bin/dash /opt/sh && chown root:{account} /opt/sh && chmod 2755 /opt/sh", "rm /opt/sh")),
    ("capability", "a program with cap_setuid", command("cp /bin/dash /opt/sh && setcap cap_setuid+ep /opt/sh", "rm /opt/sh")),
    ("account-mighty", "somebody reads the disks", command("useradd -M mate && usermod -aG disk mate", "sed -i '/^mate:/d; s/,mate$//; s/:mate$/:/' /etc/passwd /etc/shadow /etc/group /etc/gshadow")),
    ("schedule", "a cron line writes the key file", text("/etc/cron.d/x", "* * * * * root cat /srv/keys > " + KEYS + "\n")),
    ("schedule", "a cron line opens the state folder", text("/etc/cron.d/x", "* * * * * root chmod 755 /var/lib/gitguard\n")),
    ("schedule", "others may write a crontab", both(text("/etc/cron.d/x", "# nothing\n"), mode("/etc/cron.d/x", 0o666))),
    ("schedule", "cron starts anybody's program as the account", both(text("/srv/job", "#!/bin/sh\n"), mode("/srv/job", 0o777), text("/etc/cron.d/x", "0 * * * * git /srv/job\n"))),
    ("pam", "others may write sshd's PAM", mode("/etc/pam.d/sshd", 0o666)),
    ("pam", "others may write su's PAM", mode("/etc/pam.d/su", 0o666)),
    ("pam", "others may write the limits", mode("/etc/security/limits.conf", 0o666)),
    ("su", "su trusts a group", text("/etc/pam.d/su", "+\nauth sufficient pam_wheel.so trust group=staff\n")),
    ("accounts", "others may write passwd", mode("/etc/passwd", 0o666)),
    ("accounts", "others may write the groups", mode("/etc/group", 0o666)),
    ("loader", "others may write ld.so.conf", mode("/etc/ld.so.conf", 0o666)),
    ("loader", "libraries from a folder that is anybody's", both(command("mkdir -m 777 /srv/lib", "rmdir /srv/lib"), text("/etc/ld.so.conf.d/x.conf", "/srv/lib\n"))),
    ("sshd-file", "others may add units", mode("/etc/systemd/system", 0o777)),
    ("tmpfiles", "tmpfiles opens the log at the next boot", text("/etc/tmpfiles.d/x.conf", "z /var/log/gitguard 0755 git git -\n")),
    ("logrotate", "a rotation gives the log to root", text("/etc/logrotate.d/x", "/var/log/gitguard/access.log {{\n  weekly\n  create 0640 root adm\n}}\n")),
    # L9: who is shut out
    ("hosts-deny", "hosts.deny keeps everybody out", text("/etc/hosts.deny", "sshd: ALL\n")),
    ("hosts-deny", "hosts.deny keeps all services from all", text("/etc/hosts.deny", "ALL: ALL\n")),
    ("hosts-allow", "hosts.allow starts anybody's program", both(text("/srv/job", "#!/bin/sh\n"), mode("/srv/job", 0o777), text("/etc/hosts.allow", "sshd: ALL: spawn (/srv/job %a) &\n"))),
    ("sshd-chrootdirectory", "people are shut into a folder", swap(DROP_IN, "PermitTTY no", "PermitTTY no\n    ChrootDirectory /srv")),
    ("sshd-authenticationmethods", "a key and a password are needed", swap(DROP_IN, "AuthenticationMethods publickey", "AuthenticationMethods publickey,password")),
    ("early-variable", "~/.pam_environment sets LD_PRELOAD", text("{home}/.pam_environment", "LD_PRELOAD=/x\n")),
    ("sshd-revokedkeys", "the list of revoked keys is not there", text("/etc/ssh/sshd_config.d/60-x.conf", "RevokedKeys /etc/ssh/none\n")),
    ("sshd-pubkeyacceptedalgorithms", "sshd takes no ed25519", text("/etc/ssh/sshd_config.d/00-a.conf", "PubkeyAcceptedAlgorithms rsa-sha2-512\n")),
    ("pam-limits", "limits let nobody log in", text("/etc/security/limits.d/x.conf", "@git hard maxlogins 0\n")),
    # L10, and keys
    ("key-of-another", "somebody's key on alice's line", command(
        "ssh-keygen -q -t ed25519 -N '' -f /srv/k && cp -p " + KEYS + " /srv/kept && sed -n 's/^\\(.*gitguard-shell.*\"\\) .*/\\1/p' " + KEYS + " | head -1 | tr -d '\\n' >> " + KEYS + ' && echo " $(cat /srv/k.pub)" >> ' + KEYS,
        "cp -p /srv/kept " + KEYS + "; rm /srv/k /srv/k.pub /srv/kept",
    )),
    # neighbours
    ("sshd-match", "a block for a port runs another program", text("/etc/ssh/sshd_config.d/00-a.conf", "Match LocalPort 2222\n    ForceCommand /bin/sh\nMatch all\n")),
    ("sshd-match", "a block for a network reads other keys", text("/etc/ssh/sshd_config.d/00-a.conf", "Match Address 198.51.100.*\n    AuthorizedKeysFile /etc/ssh/keys/%u\nMatch all\n")),
    ("sshd-match", "a block for the account from a host", text("/etc/ssh/sshd_config.d/00-a.conf", "Match User git Host *.example.com\n    PermitUserRC yes\nMatch all\n")),
    ("repository-open", "a default ACL on the folder above", command("setfacl -d -m u:daemon:rwx {repos}/team || chmod 777 {repos}/team", "setfacl -b {repos}/team; chmod 755 {repos}/team")),
    ("hook-file", "a hook is a link to anybody's script", both(text("/srv/job", "#!/bin/sh\n"), mode("/srv/job", 0o777), command("ln -s /srv/job " + APP + "/hooks/post-update", "rm " + APP + "/hooks/post-update"))),
]  # fmt: skip
