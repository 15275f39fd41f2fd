// Which points SunSpec's models have, in their order. Facts of the standard, nothing else; decoding is fieldbus/sunspec-decode.ts.
// Source: SunSpec Alliance, sunspec/models (json/model_1.json and so on), fields, types, scale factors, units.
//
// One model is one line of words: `name:type`, with `*S` its scale factor's name and `/u` its unit. Types are those of the standard, short: u16 s16 u32 s32
// u64 s64 f32, a32 a64 (accumulators), e16 e32 (enumerations), b16 b32 (bit fields), sf (scale factor), t8 t16 (text of so many registers), pad.
// `name{ ... }` is a group; `name[N]{ ... }` comes as often as the point N says, `name[]{ ... }` as often as the model's length has room for.

import type { DataType } from './types.ts';

export type SunspecType =
  | 'u16'
  | 's16'
  | 'u32'
  | 's32'
  | 'u64'
  | 's64'
  | 'f32'
  | 'a32'
  | 'a64'
  | 'e16'
  | 'e32'
  | 'b16'
  | 'b32'
  | 'sf'
  | 'text'
  | 'pad';

export interface SunspecField {
  readonly name: string;
  readonly type: SunspecType;
  /** How its registers are read. */
  readonly data: DataType;
  readonly registers: number;
  /** Name of its scale factor, in its own group or one around it. */
  readonly scale: string | null;
  /** As the standard writes it; empty: none. */
  readonly unit: string;
}

export interface SunspecGroup {
  readonly name: string;
  /** `once`, `fill` (as often as there is room), or the name of the point that says how often. */
  readonly times: string;
  readonly items: readonly (SunspecField | SunspecGroup)[];
}

export interface SunspecModel {
  readonly title: string;
  /** What is behind the header (model ID and length). */
  readonly body: SunspecGroup;
}

/** What a point shows that the device does not have, by type; empty where a text or a float says it in its own way. */
export const NOT_IMPLEMENTED: Readonly<Record<SunspecType, readonly bigint[]>> = {
  u16: [0xffffn],
  s16: [0x8000n],
  u32: [0xffff_ffffn],
  s32: [0x8000_0000n],
  u64: [0xffff_ffff_ffff_ffffn],
  s64: [0x8000_0000_0000_0000n],
  f32: [],
  a32: [0n],
  a64: [0n],
  e16: [0xffffn],
  e32: [0xffff_ffffn],
  b16: [0xffffn],
  b32: [0xffff_ffffn],
  sf: [0x8000n],
  text: [],
  pad: [],
};

/** Registers of a model's header: ID and length. */
export const HEADER = 2;

const DATA: Readonly<Record<SunspecType, readonly [DataType, number]>> = {
  u16: ['u16', 1],
  s16: ['s16', 1],
  u32: ['u32', 2],
  s32: ['s32', 2],
  u64: ['u64', 4],
  s64: ['s64', 4],
  f32: ['f32', 2],
  a32: ['u32', 2],
  a64: ['u64', 4],
  e16: ['u16', 1],
  e32: ['u32', 2],
  b16: ['u16', 1],
  b32: ['u32', 2],
  sf: ['s16', 1],
  text: ['string', 0],
  pad: ['u16', 1],
};

const TABLES: readonly { readonly ids: readonly number[]; readonly title: string; readonly body: string }[] = [
  {
    ids: [1],
    title: 'Common',
    body: `
      Mn:t16 Md:t16 Opt:t8 Vr:t8 SN:t16 DA:u16 Pad:pad
    `,
  },
  {
    ids: [101, 102, 103],
    title: 'Inverter',
    body: `
      A:u16*A_SF/A AphA:u16*A_SF/A AphB:u16*A_SF/A AphC:u16*A_SF/A A_SF:sf PPVphAB:u16*V_SF/V PPVphBC:u16*V_SF/V PPVphCA:u16*V_SF/V
      PhVphA:u16*V_SF/V PhVphB:u16*V_SF/V PhVphC:u16*V_SF/V V_SF:sf W:s16*W_SF/W W_SF:sf Hz:u16*Hz_SF/Hz Hz_SF:sf VA:s16*VA_SF/VA VA_SF:sf
      VAr:s16*VAr_SF/var VAr_SF:sf PF:s16*PF_SF/% PF_SF:sf WH:a32*WH_SF/Wh WH_SF:sf DCA:u16*DCA_SF/A DCA_SF:sf DCV:u16*DCV_SF/V DCV_SF:sf
      DCW:s16*DCW_SF/W DCW_SF:sf TmpCab:s16*Tmp_SF/degC TmpSnk:s16*Tmp_SF/degC TmpTrns:s16*Tmp_SF/degC TmpOt:s16*Tmp_SF/degC Tmp_SF:sf St:e16
      StVnd:e16 Evt1:b32 Evt2:b32 EvtVnd1:b32 EvtVnd2:b32 EvtVnd3:b32 EvtVnd4:b32
    `,
  },
  {
    ids: [111, 112, 113],
    title: 'Inverter, float',
    body: `
      A:f32/A AphA:f32/A AphB:f32/A AphC:f32/A PPVphAB:f32/V PPVphBC:f32/V PPVphCA:f32/V PhVphA:f32/V PhVphB:f32/V PhVphC:f32/V W:f32/W Hz:f32/Hz
      VA:f32/VA VAr:f32/var PF:f32/% WH:f32/Wh DCA:f32/A DCV:f32/V DCW:f32/W TmpCab:f32/degC TmpSnk:f32/degC TmpTrns:f32/degC TmpOt:f32/degC
      St:e16 StVnd:e16 Evt1:b32 Evt2:b32 EvtVnd1:b32 EvtVnd2:b32 EvtVnd3:b32 EvtVnd4:b32
    `,
  },
  {
    ids: [120],
    title: 'Nameplate',
    body: `
      DERTyp:e16 WRtg:u16*WRtg_SF/W WRtg_SF:sf VARtg:u16*VARtg_SF/VA VARtg_SF:sf VArRtgQ1:s16*VArRtg_SF/var VArRtgQ2:s16*VArRtg_SF/var
      VArRtgQ3:s16*VArRtg_SF/var VArRtgQ4:s16*VArRtg_SF/var VArRtg_SF:sf ARtg:u16*ARtg_SF/A ARtg_SF:sf PFRtgQ1:s16*PFRtg_SF/cos()
      PFRtgQ2:s16*PFRtg_SF/cos() PFRtgQ3:s16*PFRtg_SF/cos() PFRtgQ4:s16*PFRtg_SF/cos() PFRtg_SF:sf WHRtg:u16*WHRtg_SF/Wh WHRtg_SF:sf
      AhrRtg:u16*AhrRtg_SF/AH AhrRtg_SF:sf MaxChaRte:u16*MaxChaRte_SF/W MaxChaRte_SF:sf MaxDisChaRte:u16*MaxDisChaRte_SF/W MaxDisChaRte_SF:sf
      Pad:pad
    `,
  },
  {
    ids: [121],
    title: 'Basic settings',
    body: `
      WMax:u16*WMax_SF/W VRef:u16*VRef_SF/V VRefOfs:s16*VRefOfs_SF/V VMax:u16*VMinMax_SF/V VMin:u16*VMinMax_SF/V VAMax:u16*VAMax_SF/VA
      VArMaxQ1:s16*VArMax_SF/var VArMaxQ2:s16*VArMax_SF/var VArMaxQ3:s16*VArMax_SF/var VArMaxQ4:s16*VArMax_SF/var WGra:u16*WGra_SF/%WMax/sec
      PFMinQ1:s16*PFMin_SF/cos() PFMinQ2:s16*PFMin_SF/cos() PFMinQ3:s16*PFMin_SF/cos() PFMinQ4:s16*PFMin_SF/cos() VArAct:e16 ClcTotVA:e16
      MaxRmpRte:u16*MaxRmpRte_SF/%WGra ECPNomHz:u16*ECPNomHz_SF/Hz ConnPh:e16 WMax_SF:sf VRef_SF:sf VRefOfs_SF:sf VMinMax_SF:sf VAMax_SF:sf
      VArMax_SF:sf WGra_SF:sf PFMin_SF:sf MaxRmpRte_SF:sf ECPNomHz_SF:sf
    `,
  },
  {
    ids: [122],
    title: 'Measurements and status',
    body: `
      PVConn:b16 StorConn:b16 ECPConn:b16 ActWh:a64/Wh ActVAh:a64/VAh ActVArhQ1:a64/varh ActVArhQ2:a64/varh ActVArhQ3:a64/varh ActVArhQ4:a64/varh
      VArAval:s16*VArAval_SF/var VArAval_SF:sf WAval:u16*WAval_SF/var WAval_SF:sf StSetLimMsk:b32 StActCtl:b32 TmSrc:t4 Tms:u32/s RtSt:b16
      Ris:u16*Ris_SF/ohms Ris_SF:sf
    `,
  },
  {
    ids: [123],
    title: 'Immediate controls',
    body: `
      Conn_WinTms:u16/s Conn_RvrtTms:u16/s Conn:e16 WMaxLimPct:u16*WMaxLimPct_SF/%WMax WMaxLimPct_WinTms:u16/s WMaxLimPct_RvrtTms:u16/s
      WMaxLimPct_RmpTms:u16/s WMaxLim_Ena:e16 OutPFSet:s16*OutPFSet_SF/cos() OutPFSet_WinTms:u16/s OutPFSet_RvrtTms:u16/s OutPFSet_RmpTms:u16/s
      OutPFSet_Ena:e16 VArWMaxPct:s16*VArPct_SF/%WMax VArMaxPct:s16*VArPct_SF/%VArMax VArAvalPct:s16*VArPct_SF/%VArAval VArPct_WinTms:u16/s
      VArPct_RvrtTms:u16/s VArPct_RmpTms:u16/s VArPct_Mod:e16 VArPct_Ena:e16 WMaxLimPct_SF:sf OutPFSet_SF:sf VArPct_SF:sf
    `,
  },
  {
    ids: [124],
    title: 'Storage',
    body: `
      WChaMax:u16*WChaMax_SF/W WChaGra:u16*WChaDisChaGra_SF/%WChaMax/sec WDisChaGra:u16*WChaDisChaGra_SF/%WChaMax/sec StorCtl_Mod:b16
      VAChaMax:u16*VAChaMax_SF/VA MinRsvPct:u16*MinRsvPct_SF/%WChaMax ChaState:u16*ChaState_SF/%AhrRtg StorAval:u16*StorAval_SF/AH
      InBatV:u16*InBatV_SF/V ChaSt:e16 OutWRte:s16*InOutWRte_SF/%WDisChaMax InWRte:s16*InOutWRte_SF/%WChaMax InOutWRte_WinTms:u16/s
      InOutWRte_RvrtTms:u16/s InOutWRte_RmpTms:u16/s ChaGriSet:e16 WChaMax_SF:sf WChaDisChaGra_SF:sf VAChaMax_SF:sf MinRsvPct_SF:sf ChaState_SF:sf
      StorAval_SF:sf InBatV_SF:sf InOutWRte_SF:sf
    `,
  },
  {
    ids: [160],
    title: 'PV inputs',
    body: `
      DCA_SF:sf DCV_SF:sf DCW_SF:sf DCWH_SF:sf Evt:b32 N:u16 TmsPer:u16 module[]{ ID:u16 IDStr:t8 DCA:u16*DCA_SF/A DCV:u16*DCV_SF/V
      DCW:u16*DCW_SF/W DCWH:a32*DCWH_SF/Wh Tms:u32/s Tmp:s16/degC DCSt:e16 DCEvt:b32 }
    `,
  },
  {
    // The standard spells three points of 201 PPVphAB, PPVphBC, PPVphCA; of the others PhVphAB and so on.
    ids: [201, 202, 203, 204],
    title: 'Meter',
    body: `
      A:s16*A_SF/A AphA:s16*A_SF/A AphB:s16*A_SF/A AphC:s16*A_SF/A A_SF:sf PhV:s16*V_SF/V PhVphA:s16*V_SF/V PhVphB:s16*V_SF/V PhVphC:s16*V_SF/V
      PPV:s16*V_SF/V PhVphAB:s16*V_SF/V PhVphBC:s16*V_SF/V PhVphCA:s16*V_SF/V V_SF:sf Hz:s16*Hz_SF/Hz Hz_SF:sf W:s16*W_SF/W WphA:s16*W_SF/W
      WphB:s16*W_SF/W WphC:s16*W_SF/W W_SF:sf VA:s16*VA_SF/VA VAphA:s16*VA_SF/VA VAphB:s16*VA_SF/VA VAphC:s16*VA_SF/VA VA_SF:sf VAR:s16*VAR_SF/var
      VARphA:s16*VAR_SF/var VARphB:s16*VAR_SF/var VARphC:s16*VAR_SF/var VAR_SF:sf PF:s16*PF_SF/% PFphA:s16*PF_SF/% PFphB:s16*PF_SF/%
      PFphC:s16*PF_SF/% PF_SF:sf TotWhExp:a32*TotWh_SF/Wh TotWhExpPhA:a32*TotWh_SF/Wh TotWhExpPhB:a32*TotWh_SF/Wh TotWhExpPhC:a32*TotWh_SF/Wh
      TotWhImp:a32*TotWh_SF/Wh TotWhImpPhA:a32*TotWh_SF/Wh TotWhImpPhB:a32*TotWh_SF/Wh TotWhImpPhC:a32*TotWh_SF/Wh TotWh_SF:sf
      TotVAhExp:a32*TotVAh_SF/VAh TotVAhExpPhA:a32*TotVAh_SF/VAh TotVAhExpPhB:a32*TotVAh_SF/VAh TotVAhExpPhC:a32*TotVAh_SF/VAh
      TotVAhImp:a32*TotVAh_SF/VAh TotVAhImpPhA:a32*TotVAh_SF/VAh TotVAhImpPhB:a32*TotVAh_SF/VAh TotVAhImpPhC:a32*TotVAh_SF/VAh TotVAh_SF:sf
      TotVArhImpQ1:a32*TotVArh_SF/varh TotVArhImpQ1PhA:a32*TotVArh_SF/varh TotVArhImpQ1PhB:a32*TotVArh_SF/varh TotVArhImpQ1PhC:a32*TotVArh_SF/varh
      TotVArhImpQ2:a32*TotVArh_SF/varh TotVArhImpQ2PhA:a32*TotVArh_SF/varh TotVArhImpQ2PhB:a32*TotVArh_SF/varh TotVArhImpQ2PhC:a32*TotVArh_SF/varh
      TotVArhExpQ3:a32*TotVArh_SF/varh TotVArhExpQ3PhA:a32*TotVArh_SF/varh TotVArhExpQ3PhB:a32*TotVArh_SF/varh TotVArhExpQ3PhC:a32*TotVArh_SF/varh
      TotVArhExpQ4:a32*TotVArh_SF/varh TotVArhExpQ4PhA:a32*TotVArh_SF/varh TotVArhExpQ4PhB:a32*TotVArh_SF/varh TotVArhExpQ4PhC:a32*TotVArh_SF/varh
      TotVArh_SF:sf Evt:b32
    `,
  },
  {
    ids: [211, 212, 213, 214],
    title: 'Meter, float',
    body: `
      A:f32/A AphA:f32/A AphB:f32/A AphC:f32/A PhV:f32/V PhVphA:f32/V PhVphB:f32/V PhVphC:f32/V PPV:f32/V PPVphAB:f32/V PPVphBC:f32/V
      PPVphCA:f32/V Hz:f32/Hz W:f32/W WphA:f32/W WphB:f32/W WphC:f32/W VA:f32/VA VAphA:f32/VA VAphB:f32/VA VAphC:f32/VA VAR:f32/var VARphA:f32/var
      VARphB:f32/var VARphC:f32/var PF:f32/PF PFphA:f32/PF PFphB:f32/PF PFphC:f32/PF TotWhExp:f32/Wh TotWhExpPhA:f32/Wh TotWhExpPhB:f32/Wh
      TotWhExpPhC:f32/Wh TotWhImp:f32/Wh TotWhImpPhA:f32/Wh TotWhImpPhB:f32/Wh TotWhImpPhC:f32/Wh TotVAhExp:f32/VAh TotVAhExpPhA:f32/VAh
      TotVAhExpPhB:f32/VAh TotVAhExpPhC:f32/VAh TotVAhImp:f32/VAh TotVAhImpPhA:f32/VAh TotVAhImpPhB:f32/VAh TotVAhImpPhC:f32/VAh
      TotVArhImpQ1:f32/varh TotVArhImpQ1phA:f32/varh TotVArhImpQ1phB:f32/varh TotVArhImpQ1phC:f32/varh TotVArhImpQ2:f32/varh
      TotVArhImpQ2phA:f32/varh TotVArhImpQ2phB:f32/varh TotVArhImpQ2phC:f32/varh TotVArhExpQ3:f32/varh TotVArhExpQ3phA:f32/varh
      TotVArhExpQ3phB:f32/varh TotVArhExpQ3phC:f32/varh TotVArhExpQ4:f32/varh TotVArhExpQ4phA:f32/varh TotVArhExpQ4phB:f32/varh
      TotVArhExpQ4phC:f32/varh Evt:b32
    `,
  },
  {
    ids: [701],
    title: 'AC measurement',
    body: `
      ACType:e16 St:e16 InvSt:e16 ConnSt:e16 Alrm:b32 DERMode:b32 W:s16*W_SF/W VA:s16*VA_SF/VA Var:s16*Var_SF/Var PF:s16*PF_SF A:s16*A_SF/A
      LLV:u16*V_SF/V LNV:u16*V_SF/V Hz:u32*Hz_SF/Hz TotWhInj:u64*TotWh_SF/Wh TotWhAbs:u64*TotWh_SF/Wh TotVarhInj:u64*TotVarh_SF/Varh
      TotVarhAbs:u64*TotVarh_SF/Varh TmpAmb:s16*Tmp_SF/degC TmpCab:s16*Tmp_SF/degC TmpSnk:s16*Tmp_SF/degC TmpTrns:s16*Tmp_SF/degC
      TmpSw:s16*Tmp_SF/degC TmpOt:s16*Tmp_SF/degC WL1:s16*W_SF/W VAL1:s16*VA_SF/VA VarL1:s16*Var_SF/Var PFL1:s16*PF_SF AL1:s16*A_SF/A
      VL1L2:u16*V_SF/V VL1:u16*V_SF/V TotWhInjL1:u64*TotWh_SF/Wh TotWhAbsL1:u64*TotWh_SF/Wh TotVarhInjL1:u64*TotVarh_SF/Varh
      TotVarhAbsL1:u64*TotVarh_SF/Varh WL2:s16*W_SF/W VAL2:s16*VA_SF/VA VarL2:s16*Var_SF/Var PFL2:s16*PF_SF AL2:s16*A_SF/A VL2L3:u16*V_SF/V
      VL2:u16*V_SF/V TotWhInjL2:u64*TotWh_SF/Wh TotWhAbsL2:u64*TotWh_SF/Wh TotVarhInjL2:u64*TotVarh_SF/Varh TotVarhAbsL2:u64*TotVarh_SF/Varh
      WL3:s16*W_SF/W VAL3:s16*VA_SF/VA VarL3:s16*Var_SF/Var PFL3:s16*PF_SF AL3:s16*A_SF/A VL3L1:u16*V_SF/V VL3:u16*V_SF/V
      TotWhInjL3:u64*TotWh_SF/Wh TotWhAbsL3:u64*TotWh_SF/Wh TotVarhInjL3:u64*TotVarh_SF/Varh TotVarhAbsL3:u64*TotVarh_SF/Varh ThrotPct:u16/%
      ThrotSrc:b32 A_SF:sf V_SF:sf Hz_SF:sf W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf TotWh_SF:sf TotVarh_SF:sf Tmp_SF:sf MnAlrmInfo:t32
    `,
  },
  {
    ids: [702],
    title: 'Capacity',
    body: `
      WMaxRtg:u16*W_SF/W WOvrExtRtg:u16*W_SF/W WOvrExtRtgPF:u16*PF_SF WUndExtRtg:u16*W_SF/W WUndExtRtgPF:u16*PF_SF VAMaxRtg:u16*VA_SF/VA
      VarMaxInjRtg:u16*Var_SF/Var VarMaxAbsRtg:u16*Var_SF/Var WChaRteMaxRtg:u16*W_SF/W WDisChaRteMaxRtg:u16*W_SF/W VAChaRteMaxRtg:u16*VA_SF/VA
      VADisChaRteMaxRtg:u16*VA_SF/VA VNomRtg:u16*V_SF/V VMaxRtg:u16*V_SF/V VMinRtg:u16*V_SF/V AMaxRtg:u16*A_SF/A PFOvrExtRtg:u16*PF_SF
      PFUndExtRtg:u16*PF_SF ReactSusceptRtg:u16*S_SF/S NorOpCatRtg:e16 AbnOpCatRtg:e16 CtrlModes:b32 IntIslandCatRtg:b16 WMax:u16*W_SF/W
      WMaxOvrExt:u16*W_SF/W WOvrExtPF:u16*PF_SF WMaxUndExt:u16*W_SF/W WUndExtPF:u16*PF_SF VAMax:u16*VA_SF/VA VarMaxInj:u16*Var_SF/Var
      VarMaxAbs:u16*Var_SF/Var WChaRteMax:u16*W_SF/W WDisChaRteMax:u16*W_SF/W VAChaRteMax:u16*VA_SF/VA VADisChaRteMax:u16*VA_SF/VA VNom:u16*V_SF/V
      VMax:u16*V_SF/V VMin:u16*V_SF/V AMax:u16*A_SF/A PFOvrExt:u16*PF_SF PFUndExt:u16*PF_SF IntIslandCat:b16 W_SF:sf PF_SF:sf VA_SF:sf Var_SF:sf
      V_SF:sf A_SF:sf S_SF:sf
    `,
  },
  {
    ids: [703],
    title: 'Enter service',
    body: `
      ES:e16 ESVHi:u16*V_SF/% ESVLo:u16*V_SF/% ESHzHi:u32*Hz_SF/Hz ESHzLo:u32*Hz_SF/Hz ESDlyTms:u32/s ESRndTms:u32/s ESRmpTms:u32/s
      ESDlyRemTms:u32/s V_SF:sf Hz_SF:sf
    `,
  },
  {
    ids: [704],
    title: 'AC controls',
    body: `
      PFWInjEna:e16 PFWInjEnaRvrt:e16 PFWInjRvrtTms:u32/s PFWInjRvrtRem:u32/s PFWAbsEna:e16 PFWAbsEnaRvrt:e16 PFWAbsRvrtTms:u32/s
      PFWAbsRvrtRem:u32/s WMaxLimPctEna:e16 WMaxLimPct:u16*WMaxLimPct_SF/% WMaxLimPctRvrt:u16*WMaxLimPct_SF/% WMaxLimPctEnaRvrt:e16
      WMaxLimPctRvrtTms:u32/s WMaxLimPctRvrtRem:u32/s WSetEna:e16 WSetMod:e16 WSet:s32*WSet_SF/W WSetRvrt:s32*WSet_SF/W WSetPct:s16*WSetPct_SF/%
      WSetPctRvrt:s16*WSetPct_SF/% WSetEnaRvrt:e16 WSetRvrtTms:u32/s WSetRvrtRem:u32/s VarSetEna:e16 VarSetMod:e16 VarSetPri:e16
      VarSet:s32*VarSet_SF/Var VarSetRvrt:s32*VarSet_SF/Var VarSetPct:s16*VarSetPct_SF/% VarSetPctRvrt:s16*VarSetPct_SF/% VarSetEnaRvrt:e16
      VarSetRvrtTms:u32/s VarSetRvrtRem:u32/s WRmp:u16/%Max/Sec WRmpRef:e16 VarRmp:u16/%Max/Sec AntiIslEna:e16 PF_SF:sf WMaxLimPct_SF:sf
      WSet_SF:sf WSetPct_SF:sf VarSet_SF:sf VarSetPct_SF:sf PFWInj{ PF:u16*PF_SF Ext:e16 } PFWInjRvrt{ PF:u16*PF_SF Ext:e16 } PFWAbs{ PF:u16*PF_SF
      Ext:e16 } PFWAbsRvrt{ PF:u16*PF_SF Ext:e16 }
    `,
  },
  {
    ids: [705],
    title: 'Volt-var',
    body: `
      Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32/s RvrtRem:u32/s RvrtCrv:u16 V_SF:sf DeptRef_SF:sf RspTms_SF:sf
      Crv[NCrv]{ ActPt:u16 DeptRef:e16 Pri:e16 VRef:u16*V_SF/%VNom VRefAuto:u16*V_SF/%VNom VRefAutoEna:e16 VRefAutoTms:u16/s
      RspTms:u32*RspTms_SF/s ReadOnly:e16 Pt[NPt]{ V:u16*V_SF/%VNom Var:s16*DeptRef_SF/DeptRef } }
    `,
  },
  {
    ids: [706],
    title: 'Volt-watt',
    body: `
      Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32/s RvrtRem:u32/s RvrtCrv:u16 V_SF:sf DeptRef_SF:sf RspTms_SF:sf
      Crv[NCrv]{ ActPt:u16 DeptRef:e16 RspTms:u32*RspTms_SF/s ReadOnly:e16 Pt[NPt]{ V:u16*V_SF/%VNom W:s16*DeptRef_SF/DeptRef } }
    `,
  },
  {
    ids: [707, 708],
    title: 'Voltage trip',
    body: `
      Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrvSet:u16 V_SF:sf Tms_SF:sf Crv[NCrvSet]{ ReadOnly:e16 MustTrip{ ActPt:u16 Pt[NPt]{
      V:u16*V_SF/%VNom Tms:u32*Tms_SF/s } } MayTrip{ ActPt:u16 Pt[NPt]{ V:u16*V_SF/%VNom Tms:u32*Tms_SF/s } } MomCess{ ActPt:u16 Pt[NPt]{
      V:u16*V_SF/%VNom Tms:u32*Tms_SF/s } } }
    `,
  },
  {
    ids: [709, 710],
    title: 'Frequency trip',
    body: `
      Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrvSet:u16 Hz_SF:sf Tms_SF:sf Crv[NCrvSet]{ ReadOnly:e16 MustTrip{ ActPt:u16 Pt[NPt]{
      Hz:u32*Hz_SF/Hz Tms:u32*Tms_SF/s } } MayTrip{ ActPt:u16 Pt[NPt]{ Hz:u32*Hz_SF/Hz Tms:u32*Tms_SF/s } } MomCess{ ActPt:u16 Pt[NPt]{
      Hz:u32*Hz_SF/Hz Tms:u32*Tms_SF/s } } }
    `,
  },
  {
    ids: [711],
    title: 'Frequency droop',
    body: `
      Ena:e16 AdptCtlReq:u16 AdptCtlRslt:e16 NCtl:u16 RvrtTms:u32/s RvrtRem:u32/s RvrtCtl:u16 Db_SF:sf K_SF:sf RspTms_SF:sf Ctl[NCtl]{
      DbOf:u32*Db_SF/Hz DbUf:u32*Db_SF/Hz KOf:u16*K_SF KUf:u16*K_SF RspTms:u32*RspTms_SF/s PMin:s16/% ReadOnly:e16 }
    `,
  },
  {
    ids: [712],
    title: 'Watt-var',
    body: `
      Ena:e16 AdptCrvReq:u16 AdptCrvRslt:e16 NPt:u16 NCrv:u16 RvrtTms:u32/s RvrtRem:u32/s RvrtCrv:u16 W_SF:sf DeptRef_SF:sf Crv[NCrv]{ ActPt:u16
      DeptRef:e16 Pri:e16 ReadOnly:e16 Pt[NPt]{ W:s16*W_SF/WMaxPct Var:s16*DeptRef_SF/VarPct } }
    `,
  },
  {
    ids: [713],
    title: 'Storage capacity',
    body: `
      WHRtg:u16*WH_SF/WH WHAvail:u16*WH_SF/WH SoC:u16*Pct_SF/% SoH:u16*Pct_SF/% Sta:e16 WH_SF:sf Pct_SF:sf
    `,
  },
  {
    ids: [714],
    title: 'DC measurement',
    body: `
      PrtAlrms:b32 NPrt:u16 DCA:s16*DCA_SF/A DCW:s16*DCW_SF/W DCWhInj:u64*DCWH_SF/Wh DCWhAbs:u64*DCWH_SF/Wh DCA_SF:sf DCV_SF:sf DCW_SF:sf
      DCWH_SF:sf Tmp_SF:sf Prt[NPrt]{ PrtTyp:e16 ID:u16 IDStr:t8 DCA:s16*DCA_SF/A DCV:u16*DCV_SF/V DCW:s16*DCW_SF/W DCWhInj:u64*DCWH_SF/Wh
      DCWhAbs:u64*DCWH_SF/Wh Tmp:s16*Tmp_SF/degC DCSta:e16 DCAlrm:b32 }
    `,
  },
  {
    ids: [802],
    title: 'Battery',
    body: `
      AHRtg:u16*AHRtg_SF/Ah WHRtg:u16*WHRtg_SF/Wh WChaRteMax:u16*WChaDisChaMax_SF/W WDisChaRteMax:u16*WChaDisChaMax_SF/W
      DisChaRte:u16*DisChaRte_SF/%WHRtg SoCMax:u16*SoC_SF/%WHRtg SoCMin:u16*SoC_SF/%WHRtg SocRsvMax:u16*SoC_SF/%WHRtg SoCRsvMin:u16*SoC_SF/%WHRtg
      SoC:u16*SoC_SF/%WHRtg DoD:u16*DoD_SF/% SoH:u16*SoH_SF/% NCyc:u32 ChaSt:e16 LocRemCtl:e16 Hb:u16 CtrlHb:u16 AlmRst:u16 Typ:e16 State:e16
      StateVnd:e16 WarrDt:u32 Evt1:b32 Evt2:b32 EvtVnd1:b32 EvtVnd2:b32 V:u16*V_SF/V VMax:u16*V_SF/V VMin:u16*V_SF/V CellVMax:u16*CellV_SF/V
      CellVMaxStr:u16 CellVMaxMod:u16 CellVMin:u16*CellV_SF/V CellVMinStr:u16 CellVMinMod:u16 CellVAvg:u16*CellV_SF/V A:s16*A_SF/A
      AChaMax:u16*AMax_SF/A ADisChaMax:u16*AMax_SF/A W:s16*W_SF/W ReqInvState:e16 ReqW:s16*W_SF/W SetOp:e16 SetInvState:e16 AHRtg_SF:sf
      WHRtg_SF:sf WChaDisChaMax_SF:sf DisChaRte_SF:sf SoC_SF:sf DoD_SF:sf SoH_SF:sf V_SF:sf CellV_SF:sf A_SF:sf AMax_SF:sf W_SF:sf
    `,
  },
];

export const SUNSPEC_MODELS: ReadonlyMap<number, SunspecModel> = new Map(
  TABLES.flatMap(({ ids, title, body }) => {
    const words = body.trim().split(/\s+/);
    const model: SunspecModel = { title, body: { name: '', times: 'once', items: itemsOf(words) } };
    return ids.map((id): [number, SunspecModel] => [id, model]);
  }),
);

/** A point of a model's fixed part: its offset from the model's ID register; undefined: no such point. */
export function sunspecPoint(model: number, name: string): { field: SunspecField; offset: number } | undefined {
  let offset = HEADER;
  for (const item of SUNSPEC_MODELS.get(model)?.body.items ?? []) {
    if (isGroup(item)) return undefined;
    if (item.name === name) return { field: item, offset };
    offset += item.registers;
  }
  return undefined;
}

export function isGroup(item: SunspecField | SunspecGroup): item is SunspecGroup {
  return 'items' in item;
}

/** Takes words off the front, to the end of their group. */
function itemsOf(words: string[]): (SunspecField | SunspecGroup)[] {
  const items: (SunspecField | SunspecGroup)[] = [];
  for (let word = words.shift(); word !== undefined && word !== '}'; word = words.shift()) {
    const group = /^(\w+)(?:\[(\w*)\])?\{$/.exec(word);
    if (group === null) items.push(fieldOf(word));
    else {
      const [, name = '', times] = group;
      items.push({ name, times: times === undefined ? 'once' : times || 'fill', items: itemsOf(words) });
    }
  }
  return items;
}

function fieldOf(word: string): SunspecField {
  const match = /^(\w+):([a-z]+)(\d*)(?:\*(\w+))?(?:\/(.+))?$/.exec(word);
  if (match === null) throw new Error(`not a point of a SunSpec model: ${word}`);
  const [, name = '', kind = '', size = '', scale, unit = ''] = match;
  const type = (kind === 't' ? 'text' : `${kind}${size}`) as SunspecType;
  const [data, registers] = DATA[type];
  return { name, type, data, registers: registers || Number(size), scale: scale ?? null, unit };
}
