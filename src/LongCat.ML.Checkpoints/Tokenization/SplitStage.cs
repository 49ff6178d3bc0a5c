using System.Text.RegularExpressions;

namespace LongCat.ML.Checkpoints;

/// <summary>What becomes of the matches of a split pattern.</summary>
internal enum SplitBehavior
{
    /// <summary>Each match is a piece.</summary>
    Isolated,

    /// <summary>Matches vanish.</summary>
    Removed,

    /// <summary>A match joins the piece before it.</summary>
    MergedWithPrevious,

    /// <summary>A match joins the piece after it.</summary>
    MergedWithNext,

    /// <summary>Adjacent matches are one piece.</summary>
    Contiguous,
}

/// <summary>One pattern that splits text. Thread-safe.</summary>
/// <param name="pattern">The pattern, over code points (see <see cref="CodePointProjection"/>).</param>
/// <param name="behavior">What becomes of matches.</param>
/// <param name="invert">Whether matches are the text to keep and what lies between them plays the part of a match.</param>
internal sealed class SplitStage(Regex pattern, SplitBehavior behavior, bool invert)
{
    /// <summary>Appends the pieces of a text.</summary>
    /// <param name="text">The text.</param>
    /// <param name="origin">Where the text starts; added to every piece.</param>
    /// <param name="output">Receives the pieces, none of them empty.</param>
    public void Split(ReadOnlySpan<char> text, int origin, List<(int Start, int Length)> output)
    {
        int end = 0;
        Joiner joiner = new(output, behavior, origin);
        foreach (ValueMatch match in pattern.EnumerateMatches(text))
        {
            joiner.Add(end, match.Index, invert);
            joiner.Add(match.Index, match.Index + match.Length, !invert);
            end = match.Index + match.Length;
        }

        joiner.Add(end, text.Length, invert);
        joiner.Finish();
    }

    private struct Joiner(List<(int Start, int Length)> output, SplitBehavior behavior, int origin)
    {
        private int _start;
        private int _end = -1;
        private bool _isMatch;

        public void Add(int start, int end, bool isMatch)
        {
            if (start == end)
            {
                return;
            }

            bool joins = _end >= 0 && behavior switch
            {
                SplitBehavior.Contiguous => isMatch == _isMatch,
                SplitBehavior.MergedWithPrevious => isMatch && !_isMatch,
                SplitBehavior.MergedWithNext => _isMatch && !isMatch,
                _ => false,
            };
            if (!joins)
            {
                Finish();
                _start = start;
            }

            _end = end;
            _isMatch = isMatch;
        }

        public void Finish()
        {
            if (_end >= 0 && !(_isMatch && behavior == SplitBehavior.Removed))
            {
                output.Add((origin + _start, _end - _start));
            }

            _end = -1;
        }
    }
}
