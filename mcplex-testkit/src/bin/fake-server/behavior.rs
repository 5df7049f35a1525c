//! The flags.

/// Declares the flags, the struct that holds them, and the text of `--help`.
macro_rules! flags {
    ($( #[doc = $about:literal] $flag:literal $name:ident: $kind:ty; )+) => {
        /// What it does wrong.
        #[derive(Debug, Default)]
        pub(crate) struct Behavior {
            $( #[doc = $about] pub(crate) $name: $kind, )+
        }

        impl Behavior {
            /// Reads the flags; `None` when help is wanted.
            pub(crate) fn parse(
                mut args: impl Iterator<Item = String>,
            ) -> Result<Option<Self>, String> {
                let mut it = Self::default();
                while let Some(flag) = args.next() {
                    match &*flag {
                        $( $flag => it.$name.set(&flag, &mut args)?, )+
                        "--help" => return Ok(None),
                        _ => return Err(format!("there is no flag {flag}; see --help")),
                    }
                }
                Ok(Some(it))
            }

            pub(crate) fn help() -> String {
                let lines = [$( format!("{:28}{}\n", $flag, $about.trim()) ),+];
                lines.concat()
            }
        }
    };
}

flags! {
    /// FILE: adds a line with its pid at each start.
    "--spawn-log" spawn_log: Option<String>;
    /// FILE: adds a line with the name and the arguments of each tool that is called.
    "--call-log" call_log: Option<String>;
    /// FILE: adds every byte it reads.
    "--record" record: Option<String>;
    /// N: the exit code of its deaths; 1 if not given.
    "--exit" exit: Option<u64>;
    /// MS: dies after that time without an answer to `initialize`.
    "--die-before-handshake" die_before_handshake: Option<u64>;
    /// N: its first N starts, as counted in the spawn log, die at once.
    "--sick-for" sick_for: Option<u64>;
    /// MS: dies that long after the handshake.
    "--die-after" die_after: Option<u64>;
    /// Dies when a tool is called.
    "--die-on-call" die_on_call: bool;
    /// TEXT: dies when a tool is called whose arguments hold the text.
    "--poison" poison: Option<String>;
    /// Reads `initialize` and says nothing.
    "--never-answer-initialize" never_answer_initialize: bool;
    /// Answers `initialize` with an error.
    "--initialize-error" initialize_error: bool;
    /// VERSION: answers `initialize` in any other with an error that names this one.
    "--refuse-version" refuse_version: Option<String>;
    /// MS: waits before it answers `initialize`.
    "--init-delay" init_delay: Option<u64>;
    /// VERSION: what it claims to speak, instead of what it is asked for.
    "--protocol" protocol: Option<String>;
    /// ERA: `legacy`, `modern`, or `both`: then the first request decides; legacy if not given.
    "--era" era: Option<String>;
    /// Dies when it is asked `server/discover`.
    "--exit-on-probe" exit_on_probe: bool;
    /// Never answers `server/discover`.
    "--mute-on-probe" mute_on_probe: bool;
    /// Does what is to be done after the handshake only when a tool is called, before its answer.
    "--on-call" on_call: bool;
    /// TEXT: writes it to stdout at the start, as a line.
    "--banner" banner: Option<String>;
    /// Writes two lines that are no messages, one of them no UTF-8, before each message.
    "--garbage" garbage: bool;
    /// Begins with a byte order mark, ends lines with CRLF and writes blank lines between them.
    "--windows-lines" windows_lines: bool;
    /// Writes every answer twice, and before each one an answer to nothing.
    "--answer-twice" answer_twice: bool;
    /// Writes the id of an answer after its result.
    "--id-last" id_last: bool;
    /// Writes a message with a byte that is no UTF-8 after the handshake.
    "--bad-utf8" bad_utf8: bool;
    /// N: writes an array of N levels after the handshake.
    "--deep" deep: Option<u64>;
    /// N: writes N lines that are no JSON after the handshake, as fast as they are read.
    "--garbage-flood" garbage_flood: Option<u64>;
    /// N: sends N log messages after the handshake, as fast as they are read.
    "--notify-flood" notify_flood: Option<u64>;
    /// BYTES: writes a message of that size after the handshake.
    "--long-line" long_line: Option<u64>;
    /// BYTES: writes that much without a line break after the handshake.
    "--no-newline-flood" no_newline_flood: Option<u64>;
    /// TEXT: writes it to stderr at the start.
    "--stderr" stderr: Option<String>;
    /// BYTES: writes that much to stderr at the start.
    "--flood-stderr" flood_stderr: Option<u64>;
    /// BYTES: writes that much to stderr every second, for ever.
    "--stderr-rate" stderr_rate: Option<u64>;
    /// Ignores SIGTERM and the end of its input.
    "--ignore-sigterm" ignore_sigterm: bool;
    /// Ignores the end of its input.
    "--ignore-eof" ignore_eof: bool;
    /// BYTES: writes that much to stdout when its input ends, then leaves.
    "--flush-on-eof" flush_on_eof: Option<u64>;
    /// Closes its stdout after the handshake, and lives on.
    "--close-stdout" close_stdout: bool;
    /// Closes its stdin after the handshake, and lives on.
    "--close-stdin" close_stdin: bool;
    /// Reads nothing after the handshake.
    "--stop-reading" stop_reading: bool;
    /// MS: after the handshake it waits that long before each 4 KiB it reads.
    "--read-slowly" read_slowly: Option<u64>;
    /// Makes its pipes as small as the system allows.
    "--tiny-pipes" tiny_pipes: bool;
    /// Stops itself with SIGSTOP after the handshake.
    "--stop-itself" stop_itself: bool;
    /// MS: that long after the handshake it goes on reading, but writes nothing any more.
    "--deadlock-after" deadlock_after: Option<u64>;
    /// Runs calls on the thread that reads, one at a time.
    "--single" single: bool;
    /// MIB: fills that much memory at the start.
    "--memory" memory: Option<u64>;
    /// Starts a process that holds the same pipes and does nothing.
    "--grandchild" grandchild: bool;
    /// Starts a process in a session of its own, without its pipes.
    "--setsid-child" setsid_child: bool;
    /// Starts a process whose parent ends at once, in a session of its own, as a daemon does.
    "--daemon" daemon: bool;
    /// N: starts a process that forks and ends N times, each time in a new session.
    "--runner" runner: Option<u64>;
    /// FILE: to which the runner adds a line at each of its starts.
    "--runner-log" runner_log: Option<String>;
    /// N: starts N processes that do nothing.
    "--bomb" bomb: Option<u64>;
    /// Is a process that does nothing.
    "--linger" linger: bool;
    /// Is a process in a session of its own; with `--linger`, and the ones above.
    "--new-session" new_session: bool;
    /// Starts a process that does nothing, and ends.
    "--leave-behind" leave_behind: bool;
    /// N: has that many tools more, which all echo.
    "--tools" tools: Option<u64>;
    /// N: lists that many items on a page.
    "--pages" pages: Option<u64>;
    /// Has resources, a template, subscriptions and the tool `touch`.
    "--resources" resources: bool;
    /// Has prompts.
    "--prompts" prompts: bool;
    /// Never answers a call that was cancelled.
    "--mute-after-cancel" mute_after_cancel: bool;
}

impl Behavior {
    pub(crate) fn exit_code(&self) -> i32 {
        self.exit.and_then(|code| i32::try_from(code).ok()).unwrap_or(1)
    }

    /// Whether nobody gets rid of it by listening no more.
    pub(crate) fn is_stubborn(&self) -> bool {
        self.ignore_eof || self.ignore_sigterm
    }
}

/// How a flag takes its value.
trait Flag {
    fn set(&mut self, flag: &str, args: &mut impl Iterator<Item = String>) -> Result<(), String>;
}

impl Flag for bool {
    fn set(&mut self, _: &str, _: &mut impl Iterator<Item = String>) -> Result<(), String> {
        *self = true;
        Ok(())
    }
}

impl Flag for Option<String> {
    fn set(&mut self, flag: &str, args: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let value = args.next().ok_or_else(|| format!("{flag} wants a value"))?;
        *self = Some(value);
        Ok(())
    }
}

impl Flag for Option<u64> {
    fn set(&mut self, flag: &str, args: &mut impl Iterator<Item = String>) -> Result<(), String> {
        let value = args.next().and_then(|text| text.parse().ok());
        *self = Some(value.ok_or_else(|| format!("{flag} wants a number"))?);
        Ok(())
    }
}
