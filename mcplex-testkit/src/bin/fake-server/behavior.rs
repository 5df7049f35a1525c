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
    /// MS: dies that long after the handshake.
    "--die-after" die_after: Option<u64>;
    /// Dies when a tool is called.
    "--die-on-call" die_on_call: bool;
    /// Reads `initialize` and says nothing.
    "--never-answer-initialize" never_answer_initialize: bool;
    /// Answers `initialize` with an error.
    "--initialize-error" initialize_error: bool;
    /// MS: waits before it answers `initialize`.
    "--init-delay" init_delay: Option<u64>;
    /// VERSION: what it claims to speak, instead of what it is asked for.
    "--protocol" protocol: Option<String>;
    /// Writes two lines that are no messages, one of them no UTF-8, before each message.
    "--garbage" garbage: bool;
    /// Ignores SIGTERM and the end of its input.
    "--ignore-sigterm" ignore_sigterm: bool;
    /// Ignores the end of its input.
    "--ignore-eof" ignore_eof: bool;
    /// Starts a process that holds the same pipes and does nothing.
    "--grandchild" grandchild: bool;
    /// Is that process.
    "--linger" linger: bool;
    /// TEXT: writes it to stderr at the start.
    "--stderr" stderr: Option<String>;
    /// BYTES: writes that much to stderr at the start.
    "--flood-stderr" flood_stderr: Option<u64>;
    /// Closes its stdout after the handshake, and lives on.
    "--close-stdout" close_stdout: bool;
    /// Reads nothing after the handshake.
    "--stop-reading" stop_reading: bool;
    /// BYTES: writes a message of that size after the handshake.
    "--long-line" long_line: Option<u64>;
    /// BYTES: writes that much without a line break after the handshake.
    "--no-newline-flood" no_newline_flood: Option<u64>;
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
