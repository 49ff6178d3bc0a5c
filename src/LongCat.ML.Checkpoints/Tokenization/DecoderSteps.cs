using System.Globalization;
using System.Text;
using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

/// <summary>One step of a decoder. Tokens come in pieces: one that starts a token, and after <c>Fuse</c> any number that continue it.</summary>
internal abstract class DecoderStep
{
    /// <summary>Where pieces go: the text, and whether a token starts with it.</summary>
    public Action<string, bool> Next { get; set; } = (_, _) => { };

    public virtual bool HoldsBack => false;

    public abstract void Append(string text, bool starts);

    /// <summary>Ends the tokens; afterwards the step is as new.</summary>
    public virtual void Flush()
    {
    }
}

/// <summary>Replaces matches in every token.</summary>
internal sealed class ReplaceStep(Regex pattern, string content) : DecoderStep
{
    public override void Append(string text, bool starts) => Next(pattern.Replace(text, _ => content), starts);
}

/// <summary>
/// Runs of byte tokens become text: theirs where the run is UTF-8, otherwise U+FFFD for each of them. A run is held back until it ends, since one more byte
/// can change all of it.
/// </summary>
internal sealed class ByteFallbackStep : DecoderStep
{
    private readonly List<byte> _run = [];

    public override bool HoldsBack => _run.Count > 0;

    public override void Append(string text, bool starts)
    {
        if (text.Length == 6 && text.StartsWith("<0x", StringComparison.Ordinal) && text[5] == '>'
            && byte.TryParse(text.AsSpan(3, 2), NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out byte value))
        {
            _run.Add(value);
            return;
        }

        Flush();
        Next(text, starts);
    }

    public override void Flush()
    {
        if (_run.Count == 0)
        {
            return;
        }

        byte[] bytes = [.. _run];
        _run.Clear();
        if (System.Text.Unicode.Utf8.IsValid(bytes))
        {
            Next(Encoding.UTF8.GetString(bytes), true);
        }
        else
        {
            foreach (byte _ in bytes)
            {
                Next("\uFFFD", true);
            }
        }
    }
}

/// <summary>Makes one token of all.</summary>
internal sealed class FuseStep : DecoderStep
{
    private bool _started;

    public override void Append(string text, bool starts)
    {
        Next(text, !_started);
        _started = true;
    }

    public override void Flush() => _started = false;
}

/// <summary>Takes a character away from the beginning and the end of every token, a number of times at most.</summary>
internal sealed class StripStep(char character, int start, int stop) : DecoderStep
{
    private int _left;
    private int _held;

    public override bool HoldsBack => _held > 0;

    public override void Append(string text, bool starts)
    {
        if (starts)
        {
            _left = start;
            _held = 0;
        }

        int from = 0;
        while (_left > 0 && from < text.Length)
        {
            // The first other character ends what may be taken away.
            bool takes = text[from] == character;
            from += takes ? 1 : 0;
            _left = takes ? _left - 1 : 0;
        }

        string rest = new string(character, _held) + text[from..];
        int end = rest.Length;
        while (end > 0 && rest.Length - end < stop && rest[end - 1] == character)
        {
            end--;
        }

        _held = rest.Length - end;
        Next(rest[..end], starts);
    }

    public override void Flush() => _held = 0;
}

/// <summary>Turns what stands for spaces into spaces; in the first token it vanishes where the pre-tokenizer had put it in front.</summary>
internal sealed class MetaspaceStep(char replacement, bool drops) : DecoderStep
{
    private bool _first = true;
    private bool _any;

    public override void Append(string text, bool starts)
    {
        _first = starts ? !_any : _first;
        _any = true;
        Next(_first && drops ? text.Replace(replacement.ToString(), string.Empty, StringComparison.Ordinal) : text.Replace(replacement, ' '), starts);
    }

    public override void Flush() => _any = false;
}

/// <summary>Puts a space before every token but the first: what the reference does where a file names no decoder.</summary>
internal sealed class SpaceStep : DecoderStep
{
    private bool _any;

    public override void Append(string text, bool starts)
    {
        Next(_any && starts ? " " + text : text, starts);
        _any = true;
    }

    public override void Flush() => _any = false;
}

/// <summary>Holds the pieces of a token back until it is whole.</summary>
internal sealed class CollectStep : DecoderStep
{
    private StringBuilder? _token;

    public override bool HoldsBack => _token is not null;

    public override void Append(string text, bool starts)
    {
        if (starts)
        {
            Flush();
        }

        (_token ??= new StringBuilder()).Append(text);
    }

    public override void Flush()
    {
        if (_token is { } token)
        {
            _token = null;
            Next(token.ToString(), true);
        }
    }
}
