# fish completion for rolekeeper. Written from the tables of the command line; see agent/src/cli/papers.

# The words before the cursor that are no options and no values of options.
function __rolekeeper_words
    set -l value no
    for word in (commandline -opc)[2..]
        if test $value = yes
            set value no
        else if contains -- $word --splay --format --min-life --config --output-dir --role-arn --credential-source --profile-name --external-id --duration-seconds --role-session-name --region
            set value yes
        else if not string match -q -- '-*' $word
            echo -- $word
        end
    end
end

function __rolekeeper_is_beyond_dashes
    set -l words (__rolekeeper_words)
    contains -- -- (commandline -opc); and contains -- exec $words[1]
end

function __rolekeeper_needs_command
    not __rolekeeper_is_beyond_dashes; and not count (__rolekeeper_words) >/dev/null
end

function __rolekeeper_is
    set -l words (__rolekeeper_words)
    not __rolekeeper_is_beyond_dashes; and count $words >/dev/null; and contains -- $words[1] $argv
end

function __rolekeeper_has_no_operand
    test (count (__rolekeeper_words)) -eq 1
end

function __rolekeeper_profiles
    set -l words (commandline -opc)
    set -l where
    for index in (seq (count $words))
        switch $words[$index]
            case --config --output-dir
                set -a where $words[$index..(math $index + 1)]
            case '--config=*' '--output-dir=*'
                set -a where $words[$index]
        end
    end
    rolekeeper status $where 2>/dev/null | string replace -f -r '\t.*' ''
end

complete -c rolekeeper -f
complete -c rolekeeper -n __rolekeeper_needs_command -a run -d 'keep all profiles fresh: the daemon'
complete -c rolekeeper -n __rolekeeper_needs_command -a refresh -d 'refresh what is due, once'
complete -c rolekeeper -n __rolekeeper_needs_command -a print -d 'print credentials, for credential_process'
complete -c rolekeeper -n __rolekeeper_needs_command -a exec -d 'run a command with the credentials in its environment'
complete -c rolekeeper -n __rolekeeper_needs_command -a status -d 'show each profile: source, expiry, next refresh, last error'
complete -c rolekeeper -n __rolekeeper_needs_command -a whoami -d 'ask STS whose credentials these are'

complete -c rolekeeper -n '__rolekeeper_is refresh' -l force -d 'refresh even what is still fresh'
complete -c rolekeeper -n '__rolekeeper_is refresh' -l splay -x -d 'wait a random part of SECONDS first'
complete -c rolekeeper -n '__rolekeeper_is print' -l format -x -a 'json env export ini' -d 'json (default), env, export or ini'
complete -c rolekeeper -n '__rolekeeper_is exec' -l min-life -x -d 'refresh first where less life is left (900)'
complete -c rolekeeper -n '__rolekeeper_is exec' -l refreshing -d 'point COMMAND at the published config, for programs that outlive one session'
complete -c rolekeeper -n '__rolekeeper_is status' -l json -d 'print JSON'
complete -c rolekeeper -n '__rolekeeper_is status' -l ready -d 'fail unless all these profiles have valid credentials'
complete -c rolekeeper -n 'not __rolekeeper_is_beyond_dashes' -l config -r -F -d 'the AWS config file to read'
complete -c rolekeeper -n 'not __rolekeeper_is_beyond_dashes' -l output-dir -x -a '(__fish_complete_directories)' -d 'where files are published'
complete -c rolekeeper -n 'not __rolekeeper_is_beyond_dashes' -l verbose -s v -d 'say what is done; twice for more'
complete -c rolekeeper -n 'not __rolekeeper_is_beyond_dashes' -l help -s h -d 'show this help'
complete -c rolekeeper -n 'not __rolekeeper_is_beyond_dashes' -l version -s V -d 'show the version'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l role-arn -x -d 'instead of a file: the role to assume'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l credential-source -x -a 'Ec2InstanceMetadata EcsContainer Environment' -d 'instead of a file: Ec2InstanceMetadata, EcsContainer or Environment'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l profile-name -x -d 'instead of a file: the profile\'s name'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l external-id -x -d 'instead of a file: the external id'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l duration-seconds -x -d 'instead of a file: the session\'s duration'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l role-session-name -x -d 'instead of a file: the session\'s name'
complete -c rolekeeper -n '__rolekeeper_is run refresh print exec whoami' -l region -x -d 'instead of a file: the region'

complete -c rolekeeper -n '__rolekeeper_is refresh' -a '(__rolekeeper_profiles)' -d profile
complete -c rolekeeper -n '__rolekeeper_is print; and __rolekeeper_has_no_operand' -a '(__rolekeeper_profiles)' -d profile
complete -c rolekeeper -n '__rolekeeper_is exec; and __rolekeeper_has_no_operand' -a '(__rolekeeper_profiles)' -d profile
complete -c rolekeeper -n '__rolekeeper_is status' -a '(__rolekeeper_profiles)' -d profile
complete -c rolekeeper -n '__rolekeeper_is whoami; and __rolekeeper_has_no_operand' -a '(__rolekeeper_profiles)' -d profile

# What follows the dashes of `exec` is a command of its own.
complete -c rolekeeper -n __rolekeeper_is_beyond_dashes -F -a '(__fish_complete_command)'
