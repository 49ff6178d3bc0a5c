using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;

namespace LongCat.ML.Training.Corpus;

/// <summary>
/// Documents for training and documents held out, divided by declaring type (nested types with the type around them) before anything is trained,
/// so that no held-out row shares its type with a row that was learned. A pure function of the type's name; stable across runs, machines and releases.
/// </summary>
public sealed class CorpusSplit
{
    /// <summary>The share of types held out by default.</summary>
    public const double DefaultHeldOutShare = 0.04;

    private CorpusSplit(IReadOnlyList<ApiDocument> train, IReadOnlyList<ApiDocument> heldOut)
    {
        Train = train;
        HeldOut = heldOut;
    }

    /// <summary>The documents to learn from, in the order they came.</summary>
    public IReadOnlyList<ApiDocument> Train { get; }

    /// <summary>The documents never shown in training (nor to the tokenizer's training), in the order they came.</summary>
    public IReadOnlyList<ApiDocument> HeldOut { get; }

    /// <summary>Divides documents.</summary>
    /// <param name="documents">The documents.</param>
    /// <param name="heldOutShare">The share of types to hold out, above 0 and below 1.</param>
    /// <returns>The two parts.</returns>
    /// <exception cref="ArgumentOutOfRangeException">The share is not between 0 and 1.</exception>
    public static CorpusSplit Divide(IEnumerable<ApiDocument> documents, double heldOutShare = DefaultHeldOutShare)
    {
        ArgumentNullException.ThrowIfNull(documents);
        if (!(heldOutShare is > 0 and < 1))
        {
            throw new ArgumentOutOfRangeException(nameof(heldOutShare), heldOutShare, "The held-out share must be above 0 and below 1.");
        }

        ILookup<bool, ApiDocument> parts = documents.ToLookup(document => IsHeldOut(document.DeclaringType, heldOutShare));
        return new CorpusSplit([.. parts[false]], [.. parts[true]]);
    }

    /// <summary>Whether a type is held out.</summary>
    /// <param name="declaringType">The full name of the outermost type.</param>
    /// <param name="heldOutShare">The share of types to hold out.</param>
    /// <returns>True when the first 64 bits of the name's SHA-256, as a fraction of 2^64, are below the share.</returns>
    public static bool IsHeldOut(string declaringType, double heldOutShare = DefaultHeldOutShare)
    {
        ArgumentNullException.ThrowIfNull(declaringType);
        ulong bits = BinaryPrimitives.ReadUInt64BigEndian(SHA256.HashData(Encoding.UTF8.GetBytes(declaringType)));
        return bits / (double)ulong.MaxValue < heldOutShare;
    }
}
