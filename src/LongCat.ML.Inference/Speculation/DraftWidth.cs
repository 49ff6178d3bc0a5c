namespace LongCat.ML.Inference.Speculation;

/// <summary>
/// How many tokens a request proposes. Fixed, or adaptive by ONNX Runtime GenAI's rules: a neighbouring width is tried when the proposals are often wrong (one fewer) or nearly always right
/// (one more), and kept only when the request advances about as fast with it. Decides nothing but speed.
/// </summary>
/// <param name="options">Width, floor and cooldown.</param>
/// <param name="counters">Where moves are counted.</param>
internal sealed class DraftWidth(SpeculativeOptions options, SpeculativeCounters counters)
{
    private const double Weight = 0.25;
    private const double LowAcceptance = 0.5;
    private const double HighAcceptance = 0.75;
    private const double Keep = 0.97;
    private const double RejectAtOnce = 0.8;
    private const int ProbeRounds = 2;
    private const int WaitAfterSuccess = 1;
    private const int WaitAfterFailure = 6;
    private const int ZeroRounds = 3;

    private Estimate _current;
    private Estimate _probe;
    private int _probeFrom;
    private int _probeRounds;
    private int _wait;
    private int _zeroRounds;
    private bool _cooling;

    /// <summary>The width now, 1 to 16.</summary>
    public int Current { get; private set; } = options.MinAdaptiveK > 0 ? options.MinAdaptiveK : options.MaxDraftTokens;

    private int Floor => options.MinAdaptiveK > 0 ? options.MinAdaptiveK : options.MaxDraftTokens;

    private bool Probing => _probeFrom > 0;

    /// <summary>The width of the next round; 0 in the plain step of a cooldown.</summary>
    public int Next()
    {
        if (!_cooling)
        {
            return Current;
        }

        _cooling = false;
        counters.CooldownSteps++;
        return 0;
    }

    /// <summary>Takes in a round.</summary>
    /// <param name="proposed">Its tokens, at least 1.</param>
    /// <param name="accepted">How many were accepted.</param>
    /// <param name="emitted">How many tokens the request got.</param>
    /// <param name="milliseconds">How long the step took, proposals included.</param>
    public void Observe(int proposed, int accepted, int emitted, double milliseconds)
    {
        CoolDown(accepted);
        if (options.MinAdaptiveK == 0 || proposed != Current || milliseconds <= 0)
        {
            // A proposal cut short by room or by its source says nothing about the width.
            return;
        }

        counters.WidthObservations++;
        double acceptance = (double)accepted / proposed;
        double throughput = emitted / milliseconds;
        if (Probing)
        {
            Probe(acceptance, throughput);
            return;
        }

        _current.Add(acceptance, throughput);
        if (_wait > 0)
        {
            _wait--;
        }
        else if (_current.Acceptance < LowAcceptance && Current > Floor)
        {
            StartProbe(Current - 1);
        }
        else if (_current.Acceptance >= HighAcceptance && Current < SpeculativeOptions.LargestWidth)
        {
            StartProbe(Current + 1);
        }
    }

    private void CoolDown(int accepted)
    {
        _zeroRounds = accepted == 0 && Current == Floor ? _zeroRounds + 1 : 0;
        if (options.Cooldown && _zeroRounds == ZeroRounds)
        {
            _zeroRounds = 0;
            _cooling = true;
            counters.CooldownEntries++;
        }
    }

    private void StartProbe(int width)
    {
        _probeFrom = Current;
        _probe = default;
        _probeRounds = 0;
        counters.WidthProbes++;
        Move(width);
    }

    private void Probe(double acceptance, double throughput)
    {
        _probe.Add(acceptance, throughput);
        _probeRounds++;
        bool hopeless = _probe.Throughput < RejectAtOnce * _current.Throughput;
        if (!hopeless && _probeRounds < ProbeRounds)
        {
            return;
        }

        bool kept = !hopeless && _probe.Throughput >= Keep * _current.Throughput && (Current < _probeFrom || _probe.Acceptance >= HighAcceptance);
        if (kept)
        {
            _current = _probe;
        }
        else
        {
            Move(_probeFrom);
        }

        _probeFrom = 0;
        _wait = kept ? WaitAfterSuccess : WaitAfterFailure;
    }

    private void Move(int width)
    {
        counters.WidthIncreases += width > Current ? 1 : 0;
        counters.WidthDecreases += width < Current ? 1 : 0;
        Current = width;
    }

    /// <summary>Means that forget: the first value, then a quarter of each new one.</summary>
    private struct Estimate
    {
        private bool _any;

        public double Acceptance { get; private set; }

        public double Throughput { get; private set; }

        public void Add(double acceptance, double throughput)
        {
            double weight = _any ? Weight : 1;
            Acceptance += weight * (acceptance - Acceptance);
            Throughput += weight * (throughput - Throughput);
            _any = true;
        }
    }
}
