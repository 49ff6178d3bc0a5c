using Microsoft.ML.Data;
using Microsoft.ML.Rows;
using Microsoft.ML.Runtime;

namespace Microsoft.ML;

/// <summary>A message of a component.</summary>
public class LoggingEventArgs : EventArgs
{
    public LoggingEventArgs(string message) => Message = message;

    public LoggingEventArgs(string message, ChannelMessageKind kind, string source)
    {
        RawMessage = message;
        Kind = kind;
        Source = source;
        Message = $"[Source={source}, Kind={kind}] {message}";
    }

    public string Source { get; }

    public ChannelMessageKind Kind { get; }

    public string Message { get; }

    public string RawMessage { get; }
}

/// <summary>Where everything starts.</summary>
public sealed class MLContext : IHostEnvironment
{
    private readonly Random random;

    public MLContext(int? seed = null)
    {
        random = seed is { } given ? new Random(given) : new Random();
        Transforms = new TransformsCatalog();
        Model = new ModelOperationsCatalog(this);
        Data = new DataOperationsCatalog();
    }

    public event EventHandler<LoggingEventArgs> Log;

    public TransformsCatalog Transforms { get; }

    public ModelOperationsCatalog Model { get; }

    public DataOperationsCatalog Data { get; }

    public ComponentCatalog ComponentCatalog { get; } = new();

    public bool FallbackToCpu { get; set; } = true;

    public int? GpuDeviceId { get; set; }

    IChannel IChannelProvider.Start(string name) => new Channel(this, name);

    /// <summary>Each component's random numbers begin where the context's stand: the same calls in the same order give the same ones.</summary>
    IHost IHostEnvironment.Register(string name, int? seed, bool? verbose)
    {
        lock (random)
        {
            return new Host(this, new Random(seed ?? random.Next()));
        }
    }

    private sealed class Host(IHostEnvironment context, Random random) : IHost
    {
        public Random Rand => random;

        public ComponentCatalog ComponentCatalog => context.ComponentCatalog;

        public IHost Register(string name, int? seed = null, bool? verbose = null) => new Host(this, new Random(seed ?? random.Next()));

        public IChannel Start(string name) => context.Start(name);
    }

    private sealed class Channel(MLContext context, string name) : IChannel
    {
        public void Trace(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Trace, fmt);

        public void Info(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Info, fmt);

        public void Warning(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Warning, fmt);

        public void Error(MessageSensitivity sensitivity, string fmt) => Send(ChannelMessageKind.Error, fmt);

        public void Dispose()
        {
        }

        private void Send(ChannelMessageKind kind, string message) => context.Log?.Invoke(context, new LoggingEventArgs(message, kind, name));
    }
}

/// <summary>The steps; filled by extension methods.</summary>
public sealed class TransformsCatalog
{
    internal TransformsCatalog() => Conversion = new ConversionTransforms();

    public ConversionTransforms Conversion { get; }

    /// <summary>Steps that change a column's type.</summary>
    public sealed class ConversionTransforms
    {
        internal ConversionTransforms()
        {
        }
    }
}

/// <summary>Views from objects and objects from views.</summary>
public sealed class DataOperationsCatalog
{
    internal DataOperationsCatalog()
    {
    }

    public IDataView LoadFromEnumerable<TRow>(IEnumerable<TRow> data, SchemaDefinition schemaDefinition = null)
        where TRow : class => new EnumerableView<TRow>(data, schemaDefinition);

    public IEnumerable<TRow> CreateEnumerable<TRow>(
        IDataView data, bool reuseRowObject, bool ignoreMissingColumns = false, SchemaDefinition schemaDefinition = null)
        where TRow : class, new() => RowWriter.Enumerate<TRow>(data, reuseRowObject, ignoreMissingColumns, schemaDefinition);
}
