!> One time step.
module stpmod
   use par_kind, only: wp
   use par_oce, only: jpi, jpk, jp_tem, Njs0, Nje0
   use dom_oce, only: rn_Dt, rDt, l_1st_euler
   use oce, only: uu, vv, e3t, ts, Nbb, Nnn, Naa, Nrhs
   use dome3, only: dom_e3
   use thkadv, only: thk_adv
   use dynhpg, only: dyn_hpg
   use dynkeg, only: dyn_keg
   use dynvor, only: dyn_vor
   use dynldf, only: dyn_ldf
   use dynzb20, only: dyn_zb20, ln_zb20
   use sbcmod, only: sbc, dyn_sbc, dyn_drg
   use traadv, only: ln_tra, tra_adv, tra_ldf, tra_sbc
   use cplstp, only: l_cpl, cpl_oce_snd, cpl_oce_bias, cpl_oce_ready, dyn_cpl, tra_cpl
   use asminc, only: l_asm, asm_inc, asm_bkg_wri, asm_tend, thk_asm, dyn_asm, tra_asm
   use oce_nxt, only: dyn_nxt, tra_nxt, nxt_atf
   use trd, only: l_trd, trd_begin, trd_dyn, trd_thk, trd_tra, trd_end, jptrd_hpg, jptrd_keg, jptrd_pvo, jptrd_ldf, jptrd_wnd, &
   &  jptrd_drg, jptrd_zb20, jptrd_asm, jptrd_cpl, jpttd_adv, jpttd_ldf, jpttd_res, jpttd_asm, jpttd_cpl
   use lbclnk, only: lbc_lnk, jpfillnothing
   use stpctl, only: stp_ctl
   use diawri, only: dia_wri
   use restart, only: rst_write
   use timing, only: timing_start, timing_stop, jptim_dyn, jptim_tra, jptim_dia
   implicit none
   private
   public :: stp, stp_rhs

   integer, parameter :: jp_band = 24*1024   ! bytes of a 3-D field in a band; a step works on some 40 such fields
   integer, parameter :: jp_least = 8        ! least rows of a band
   logical :: l_early = .false.               ! received tendencies are added band by band

contains

   !> Step kt: leapfrog from before (Nbb) and now (Nnn) to after (Naa), halos, filter, swap, output.
   !!
   !! The now level at the beginning of the step is the state that a coupled closure reads; its halos are valid.
   subroutine stp(kt)
      integer, intent(in) :: kt   !< step
      integer :: iswap

      call asm_inc(kt, Nnn)
      if (l_1st_euler) then   ! forward step: before = now
         rDt = rn_Dt
         uu(:, :, :, Nbb) = uu(:, :, :, Nnn)
         vv(:, :, :, Nbb) = vv(:, :, :, Nnn)
         e3t(:, :, :, Nbb) = e3t(:, :, :, Nnn)
         ts(:, :, :, :, Nbb) = ts(:, :, :, :, Nnn)
      end if

      if (l_cpl) then
         call cpl_oce_snd(kt, Nnn)
         call cpl_oce_bias()
      end if
      call asm_tend(kt)
      call timing_start(jptim_dyn)
      call trd_begin(kt)
      call sbc(kt)
      call timing_stop(jptim_dyn)
      call stp_bands()
      if (ln_tra) then
         call lbc_lnk('stp', uu(:, :, :, Naa), 'U', -1._wp, vv(:, :, :, Naa), 'V', -1._wp, e3t(:, :, :, Naa), 'T', 1._wp, &
         &            ts(:, :, :, jp_tem, Naa), 'T', 1._wp, kfillmode=jpfillnothing)
      else
         call lbc_lnk('stp', uu(:, :, :, Naa), 'U', -1._wp, vv(:, :, :, Naa), 'V', -1._wp, e3t(:, :, :, Naa), 'T', 1._wp, &
         &            kfillmode=jpfillnothing)
      end if
      call timing_start(jptim_dyn)
      if (.not. l_1st_euler) call nxt_atf(Nbb, Nnn, Naa, ln_tra)
      l_1st_euler = .false.
      rDt = 2._wp*rn_Dt
      iswap = Nbb
      Nbb = Nnn
      Nnn = Naa
      Naa = iswap
      Nrhs = Naa
      call timing_stop(jptim_dyn)

      call timing_start(jptim_dia)
      call stp_ctl(kt, Nnn)
      call dia_wri(kt, Nnn)
      call timing_stop(jptim_dia)
      call rst_write(kt, Nbb, Nnn)
      call asm_bkg_wri(kt, Nnn)
   end subroutine stp

   !> The after level, in bands of rows: what a band needs stays in the second-level cache from term to term. With the fields that
   !! are no longer stored, see dome3, a step of 192 x 192 x 2 in 64 bit takes three quarters of the time of whole-grid terms.
   !!
   !! Thickness of faces, transports and after thickness of a row are made once, one row ahead of the band. Of their own work
   !! arrays the terms compute the rows next to the band twice. Trends are written as whole fields: they take one band.
   !!
   !! Received tendencies that are there (between two exchanges, or with a lag) are added band by band. Where they must be waited
   !! for, they come with the last band, and the network has the time of all others; the bits are the same.
   subroutine stp_bands()
      integer :: jb, j1, j2, inj

      l_early = .not. l_cpl
      if (l_cpl .and. .not. l_trd) l_early = cpl_oce_ready()
      inj = Nje0 - Njs0 + 1
      if (.not. l_trd) inj = min(inj, max(jp_band/(jpi*jpk*(storage_size(1._wp)/8)), jp_least))
      j1 = 1
      do jb = Njs0, Nje0, inj
         j2 = min(jb + inj - 1, Nje0)
         call timing_start(jptim_dyn)
         call dom_e3(Nnn, j1, j2 + 1)
         call thk_adv(Nbb, Naa, max(j1, 2), j2 + 1)
         if (l_asm) call thk_asm(Naa, max(j1, 2), j2 + 1)
         call timing_stop(jptim_dyn)
         call stp_rhs(Nbb, Nnn, Naa, Nrhs, jb, j2)
         if (l_early) call stp_nxt(jb, j2)
         j1 = j2 + 2
      end do
      if (.not. l_early) call stp_nxt(Njs0, Nje0)
   end subroutine stp_bands

   !> Right-hand sides, du/dt, dv/dt and d(h T)/dt, in level Krhs; e3t(Kaa) is the after thickness of the pressure term.
   subroutine stp_rhs(Kbb, Kmm, Kaa, Krhs, kj1, kj2)
      integer, intent(in) :: Kbb, Kmm, Kaa, Krhs   !< time levels; Krhs may be Kaa
      integer, optional, intent(in) :: kj1, kj2    !< rows; absent: the interior
      integer :: j1, j2

      j1 = Njs0
      j2 = Nje0
      if (present(kj1)) j1 = kj1
      if (present(kj2)) j2 = kj2

      call timing_start(jptim_dyn)
      call dyn_hpg(Kbb, Kmm, Kaa, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_hpg, Krhs)
      call dyn_keg(Kmm, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_keg, Krhs)
      call dyn_vor(Kmm, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_pvo, Krhs)
      call dyn_ldf(Kbb, Kmm, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_ldf, Krhs)
      call dyn_sbc(Kmm, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_wnd, Krhs)
      call dyn_drg(Kbb, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_drg, Krhs)
      if (ln_zb20) call dyn_zb20(Kmm, Krhs, j1, j2)
      if (l_trd) call trd_dyn(jptrd_zb20, Krhs)
      if (l_asm) call dyn_asm(Krhs, j1, j2)   ! before the received tendencies, which may come later: one order of the sum
      if (l_trd) call trd_dyn(jptrd_asm, Krhs)
      if (l_cpl .and. l_early) call dyn_cpl(Kmm, Krhs, j1, j2, j1 == Njs0)
      if (l_cpl .and. .not. l_early .and. j2 == Nje0) call dyn_cpl(Kmm, Krhs, Njs0, Nje0, .true.)
      if (l_trd) call trd_dyn(jptrd_cpl, Krhs)
      if (l_trd) call trd_thk()
      call timing_stop(jptim_dyn)

      call timing_start(jptim_tra)
      if (ln_tra) then
         call tra_adv(Kbb, Kmm, Krhs, j1, j2)
         if (l_trd) call trd_tra(jpttd_adv, Kmm, Krhs)
         call tra_ldf(Kbb, Kmm, Krhs, j1, j2)
         if (l_trd) call trd_tra(jpttd_ldf, Kmm, Krhs)
         call tra_sbc(Kbb, Kmm, Krhs, j1, j2)
         if (l_trd) call trd_tra(jpttd_res, Kmm, Krhs)
         if (l_asm) call tra_asm(Kbb, Kmm, Krhs, j1, j2)
         if (l_trd) call trd_tra(jpttd_asm, Kmm, Krhs)
         if (l_cpl .and. l_early) call tra_cpl(Kmm, Krhs, j1, j2, j1 == Njs0)
         if (l_cpl .and. .not. l_early .and. j2 == Nje0) call tra_cpl(Kmm, Krhs, Njs0, Nje0, .true.)
         if (l_trd) call trd_tra(jpttd_cpl, Kmm, Krhs)
      end if
      if (l_trd) call trd_end(Kmm, Krhs, ln_tra)
      call timing_stop(jptim_tra)
   end subroutine stp_rhs

   !> Rows kj1 to kj2 of the after level, from their right-hand sides.
   subroutine stp_nxt(kj1, kj2)
      integer, intent(in) :: kj1, kj2   !< rows
      call timing_start(jptim_dyn)
      call dyn_nxt(Nbb, Naa, kj1, kj2)
      if (ln_tra) call tra_nxt(Nbb, Naa, kj1, kj2)
      call timing_stop(jptim_dyn)
   end subroutine stp_nxt
end module stpmod
