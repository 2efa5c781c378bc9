# Make a fresh Debian look like python:3.11-slim, and drop what no container needs. Runs in its root, by sh -e.
ln -s /usr/bin/python3 /usr/local/bin/python
ln -s /usr/bin/pip3 /usr/local/bin/pip
# The official image's pip installs for the system; Debian's refuses to.
rm -f /usr/lib/python3.*/EXTERNALLY-MANAGED
apt-get clean
rm -rf /var/lib/apt/lists/* /var/log/* /usr/share/doc/* /usr/share/man/* /usr/share/info/* /usr/share/lintian
find /usr/share/locale -mindepth 1 -maxdepth 1 ! -name 'en*' -exec rm -rf {} +
find / -xdev -name __pycache__ -type d -prune -exec rm -rf {} +
